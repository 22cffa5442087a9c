/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where stack frames are in the source, by libdw.
 *
 * The auditor keeps module and offset, which costs nothing while it runs; names are looked
 * up when a report is made, in the file itself, not in the process that ran.  A file that has
 * been built anew since (its build id differs) would give wrong names: then there are none.
 */
#include <elfutils/libdwfl.h>
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_int.h"

static char *debuginfo_path;		/* NULL: where distributions put separate debug information */

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

static bool
same_build(Dwfl_Module *mod, const char *want)
{
	const unsigned char *id;
	GElf_Addr where;
	int n = dwfl_module_build_id(mod, &id, &where);
	char hex[3];

	if (want == NULL)
		return true;
	if (n <= 0 || strlen(want) != (size_t)n * 2)
		return false;
	for (int i = 0; i < n; i++) {
		snprintf(hex, sizeof(hex), "%02x", id[i]);
		if (memcmp(hex, want + i * 2, 2) != 0)
			return false;
	}
	return true;
}

/*
 * => the line that the code at that address comes from, or NULL
 * clang writes no table of which unit covers which addresses; then the units are asked in turn.
 */
static Dwarf_Line *
line_of(Dwfl_Module *mod, GElf_Addr addr)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = dwfl_module_addrdie(mod, addr, &bias);

	if (unit != NULL)
		return dwarf_getsrc_die(unit, addr - bias);
	while ((unit = dwfl_module_nextcu(mod, unit, &bias)) != NULL)
		if (dwarf_haspc(unit, addr - bias) > 0)
			return dwarf_getsrc_die(unit, addr - bias);
	return NULL;
}

/* => "function (file.c:12)", "function", or NULL */
static const char *
name_of(struct lg_owned *lo, Dwfl_Module *mod, GElf_Addr bias, uint64_t offset)
{
	GElf_Addr call = bias + offset - 1;	/* a return address: the call is before it */
	const char *function = dwfl_module_addrname(mod, call), *file, *slash, *dot;
	Dwarf_Line *line = line_of(mod, call);
	char text[256];
	int number = 0;

	file = line != NULL ? dwarf_linesrc(line, NULL, NULL) : NULL;
	if (file != NULL && dwarf_lineno(line, &number) != 0)
		number = 0;
	if (function == NULL)
		return NULL;
	dot = strchr(function, '.');		/* gcc: name.isra.0, name.cold */
	if (file == NULL || number == 0) {
		snprintf(text, sizeof(text), "%.200s", function);
		return lg_text(lo, text);
	}
	slash = strrchr(file, '/');
	snprintf(text, sizeof(text), "%.*s (%.80s:%d)",
	    dot != NULL && dot != function ? (int)(dot - function) : 120, function,
	    slash != NULL ? slash + 1 : file, number);
	return lg_text(lo, text);
}

struct symbols {
	struct lg_owned *sy_lo;
	Dwfl_Module **sy_modules;	/* of each module of the graph; NULL: no such file any more */
	GElf_Addr *sy_bias;
};

static void
look_up(struct symbols *sy, struct lockgraph_frame *f)
{
	if (f->lgf_symbol != NULL || f->lgf_module == LOCKGRAPH_NONE ||
	    sy->sy_modules[f->lgf_module] == NULL || f->lgf_offset == 0)
		return;
	f->lgf_symbol = name_of(sy->sy_lo, sy->sy_modules[f->lgf_module],
	    sy->sy_bias[f->lgf_module], f->lgf_offset);
}

void
lockgraph_symbolise(struct lockgraph *lg)
{
	struct symbols sy = { .sy_lo = (struct lg_owned *)lg };
	Dwfl *dwfl = dwfl_begin(&callbacks);

	if (dwfl == NULL)
		return;
	sy.sy_modules = xcalloc(lg->lg_nmodules + 1, sizeof(Dwfl_Module *));
	sy.sy_bias = xcalloc(lg->lg_nmodules + 1, sizeof(GElf_Addr));
	dwfl_report_begin(dwfl);
	for (uint32_t i = 0; i < lg->lg_nmodules; i++) {
		const char *path = lg->lg_modules[i].lgm_path;

		sy.sy_modules[i] = dwfl_report_offline(dwfl, path, path, -1);
	}
	dwfl_report_end(dwfl, NULL, NULL);
	for (uint32_t i = 0; i < lg->lg_nmodules; i++)
		if (sy.sy_modules[i] != NULL &&
		    (dwfl_module_getelf(sy.sy_modules[i], &sy.sy_bias[i]) == NULL ||
		    !same_build(sy.sy_modules[i], lg->lg_modules[i].lgm_build_id)))
			sy.sy_modules[i] = NULL;
	/* the graph is our own, see lockgraph_dup(); frames are only const to others */
	for (uint32_t i = 0; i < lg->lg_nframes; i++)
		look_up(&sy, (struct lockgraph_frame *)(uintptr_t)&lg->lg_frames[i]);
	for (uint32_t i = 0; i < lg->lg_nsites; i++)
		look_up(&sy, (struct lockgraph_frame *)(uintptr_t)&lg->lg_sites[i].lgs_frame);
	free(sy.sy_modules);
	free(sy.sy_bias);
	dwfl_end(dwfl);
}
