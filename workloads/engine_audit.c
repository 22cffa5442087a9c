/*
 * The lock auditor's graph, on its way from the kernel floor into a result.
 *
 * The auditor knows addresses of code.  Here they become module and offset, which mean something
 * in another process too, and the graph gets its run's name.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/lockgraph.h>
#include <harness/result.h>
#include <harness/xalloc.h>
#include <sys/lockdebug.h>

#include "engine_int.h"

struct modules {
	struct lockgraph_module *mo_v;
	uint32_t mo_n;
};

/* An address that the auditor has not found a module for. */
static void
locate(struct modules *mo, struct lockgraph_frame *f)
{
	struct host_module hm;
	uint32_t i = 0;

	if (f->lgf_module != LOCKGRAPH_NONE ||
	    !host_module((const void *)(uintptr_t)f->lgf_offset, &hm))
		return;
	while (i < mo->mo_n && strcmp(mo->mo_v[i].lgm_path, hm.hm_path) != 0)
		i++;
	if (i == mo->mo_n) {
		mo->mo_v = xgrow(mo->mo_v, mo->mo_n++, sizeof(*mo->mo_v));
		mo->mo_v[i] = (struct lockgraph_module){ hm.hm_path, hm.hm_build_id };
	}
	f->lgf_module = i;
	f->lgf_offset = hm.hm_offset;
}

void
engine_audit(struct run_result *rr, const struct profile *p)
{
	struct lockgraph_frame *frames;
	struct modules mo = { .mo_n = 0 };
	struct lockgraph lg;

	if (!LOCKDEBUG_ON() || rr->rr_lockgraph != NULL)
		return;
	lg = *lockorder_export();
	frames = xcalloc(lg.lg_nframes + 1, sizeof(*frames));
	for (uint32_t i = 0; i < lg.lg_nframes; i++) {
		frames[i] = lg.lg_frames[i];
		locate(&mo, &frames[i]);
	}
	lg.lg_frames = frames;
	lg.lg_modules = mo.mo_v;
	lg.lg_nmodules = mo.mo_n;
	rr->rr_lockgraph = lockgraph_of_run(&lg, p->p_name, rr->rr_command, rr->rr_seed);
	free(frames);
	free(mo.mo_v);
}
