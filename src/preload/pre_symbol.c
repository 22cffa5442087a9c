/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Modules and names, for the names of lock classes.
 *
 * Stacks are kept as module and offset, and get their names when a report is made.  The
 * name of a class must be there when it is made, so this reads the symbol table of the
 * file, once for each class.  _dl_find_object() says which file: unlike dladdr() it takes
 * no lock of the dynamic linker's, which another thread may hold while it waits for ours.
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pre_int.h"

/* m: module lock, then stable   : stable */
struct module {
	const struct link_map *md_map;	/* m */
	uintptr_t	 md_base;	/* m: load bias */
	const char	*md_path;	/* m */
	const ElfW(Sym)	*md_syms;	/* m: NULL: none */
	const char	*md_names;	/* m */
	size_t		 md_nsyms, md_size;	/* m */
	bool		 md_read;	/* m: the table was looked for */
	struct module	*md_next;	/* m */
};

static struct pre_lock lock;
static struct module *modules;		/* m */

static const char *
path_of(const struct link_map *map)
{
	char buf[512];
	ssize_t n;

	if (map->l_name != NULL && map->l_name[0] != '\0')
		return pre_strdup(map->l_name);
	n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
	if (n <= 0)
		return "?";
	buf[n] = '\0';
	return pre_strdup(buf);
}

/* => the same place again may be another file: after dlclose() */
static struct module *
module_of(const void *addr)
{
	struct dl_find_object found;
	struct module *md;

	if (_dl_find_object((void *)(uintptr_t)addr, &found) != 0 || found.dlfo_link_map == NULL)
		return NULL;
	pre_lock(&lock);
	for (md = modules; md != NULL; md = md->md_next)
		if (md->md_map == found.dlfo_link_map && md->md_base == found.dlfo_link_map->l_addr &&
		    (found.dlfo_link_map->l_name[0] == '\0' ||
		     strcmp(md->md_path, found.dlfo_link_map->l_name) == 0))
			break;
	if (md == NULL && (md = pre_alloc(sizeof(*md))) != NULL) {
		md->md_map = found.dlfo_link_map;
		md->md_base = found.dlfo_link_map->l_addr;
		md->md_path = path_of(found.dlfo_link_map);
		md->md_next = modules;
		modules = md;
	}
	pre_unlock(&lock);
	return md;
}

bool
pre_module(const void *pc, const char **path, uint64_t *offset)
{
	const struct module *md = module_of(pc);

	if (md == NULL)
		return false;
	*path = md->md_path;
	*offset = (uintptr_t)pc - md->md_base;
	return true;
}

/* => section number i, whole inside the file; or NULL */
static const ElfW(Shdr) *
section(const char *file, size_t size, unsigned i)
{
	const ElfW(Ehdr) *eh = (const void *)file;
	const ElfW(Shdr) *sh;

	if (i >= eh->e_shnum || eh->e_shentsize != sizeof(*sh) || eh->e_shoff > size ||
	    (size - eh->e_shoff) / sizeof(*sh) <= i)
		return NULL;
	sh = (const ElfW(Shdr) *)(const void *)(file + eh->e_shoff) + i;
	if (sh->sh_type != SHT_NOBITS && (sh->sh_offset > size || size - sh->sh_offset < sh->sh_size))
		return NULL;
	return sh;
}

static void
take_symbols(struct module *md, const char *file, size_t size)
{
	const ElfW(Ehdr) *eh = (const void *)file;
	const ElfW(Shdr) *sh, *names, *best = NULL;

	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return;
	for (unsigned i = 0; i < eh->e_shnum; i++) {
		sh = section(file, size, i);
		if (sh != NULL && (sh->sh_type == SHT_SYMTAB ||
		    (sh->sh_type == SHT_DYNSYM && best == NULL)))
			best = sh;
	}
	names = best != NULL ? section(file, size, best->sh_link) : NULL;
	if (names == NULL || names->sh_size == 0 || file[names->sh_offset + names->sh_size - 1] != '\0')
		return;
	md->md_syms = (const void *)(file + best->sh_offset);
	md->md_nsyms = best->sh_size / sizeof(*md->md_syms);
	md->md_names = file + names->sh_offset;
	md->md_size = names->sh_size;
}

static void
read_symbols(struct module *md)
{
	struct stat st;
	void *file;
	int fd;

	md->md_read = true;
	fd = open(md->md_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file != MAP_FAILED)
			take_symbols(md, file, (size_t)st.st_size);
	}
	close(fd);
}

/* => the symbol that the offset lies in */
static const ElfW(Sym) *
find_symbol(const struct module *md, uintptr_t offset, bool data)
{
	const ElfW(Sym) *best = NULL;

	for (size_t i = 0; i < md->md_nsyms; i++) {
		const ElfW(Sym) *s = &md->md_syms[i];
		const unsigned type = ELF64_ST_TYPE(s->st_info);

		if (type != (data ? STT_OBJECT : STT_FUNC) || s->st_shndx == SHN_UNDEF ||
		    s->st_name >= md->md_size || offset < s->st_value ||
		    offset >= s->st_value + (s->st_size != 0 ? s->st_size : 1))
			continue;
		if (best == NULL || s->st_size < best->st_size)
			best = s;
	}
	return best;
}

static void
need_symbols(struct module *md)
{
	pre_lock(&lock);
	if (!md->md_read)
		read_symbols(md);
	pre_unlock(&lock);
}

const void *
pre_function(const void *pc)
{
	struct module *md = module_of(pc);
	const ElfW(Sym) *s;

	if (md == NULL)
		return pc;
	need_symbols(md);
	s = find_symbol(md, (uintptr_t)pc - 1 - md->md_base, false);
	return s != NULL ? (const void *)(md->md_base + s->st_value) : pc;
}

/* Inlined, cloned and split functions keep their name: name.isra.0 is name. */
static int
plain_length(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot != NULL && dot != name ? (int)(dot - name) : (int)strlen(name);
}

void
pre_symbol(const void *addr, bool data, char *buf, size_t len)
{
	struct module *md = module_of(addr);
	/* A return address may be behind its function's end. */
	const uintptr_t at = (uintptr_t)addr - (data ? 0 : 1);
	const ElfW(Sym) *s;
	const char *name, *slash;

	if (md == NULL) {
		snprintf(buf, len, "unknown code");
		return;
	}
	need_symbols(md);
	s = find_symbol(md, at - md->md_base, data);
	if (s == NULL) {
		slash = strrchr(md->md_path, '/');
		snprintf(buf, len, "%s+%#lx", slash != NULL ? slash + 1 : md->md_path,
		    (unsigned long)((uintptr_t)addr - md->md_base));
		return;
	}
	name = md->md_names + s->st_name;
	if (data && at - md->md_base != s->st_value)
		snprintf(buf, len, "%.*s+%#lx", plain_length(name), name,
		    (unsigned long)(at - md->md_base - s->st_value));
	else
		snprintf(buf, len, "%.*s", plain_length(name), name);
}
