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
#include <host/race.h>
#include <sys/lockdebug.h>
#include <sys/lockevent.h>
#include <sys/lockstat.h>

#include "engine_int.h"

#define	SITES_MAX	4096		/* call sites; those that waited least are left out */

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

/* => call sites, with audit=full; of each class what its sites say together */
static void
add_sites(struct lockgraph *lg, struct modules *mo, struct lockgraph_class *classes)
{
	struct lockstat_site *raw = xcalloc(SITES_MAX, sizeof(*raw));
	const unsigned n = lockstat_sites(raw, SITES_MAX);
	struct lockgraph_site *sites = xcalloc(n + 1, sizeof(*sites));

	for (unsigned i = 0; i < n; i++) {
		const struct lockstat_site *r = &raw[i];
		struct lockgraph_class *lgc = &classes[r->lss_class];

		sites[i] = (struct lockgraph_site){
			.lgs_class = r->lss_class, .lgs_acquisitions = r->lss_acquisitions,
			.lgs_frame = { LOCKGRAPH_NONE, (uintptr_t)r->lss_where, NULL },
			.lgs_contended = r->lss_contended, .lgs_wait_ns = r->lss_wait_ns,
			.lgs_wait_ns_max = r->lss_wait_ns_max, .lgs_holds = r->lss_holds,
			.lgs_hold_ns = r->lss_hold_ns, .lgs_hold_ns_max = r->lss_hold_ns_max,
		};
		locate(mo, &sites[i].lgs_frame);
		lgc->lgc_holds += r->lss_holds;
		lgc->lgc_hold_ns += r->lss_hold_ns;
		if (r->lss_wait_ns_max > lgc->lgc_wait_ns_max)
			lgc->lgc_wait_ns_max = r->lss_wait_ns_max;
	}
	free(raw);
	lg->lg_sites = sites;
	lg->lg_nsites = n;
	lg->lg_lost += lockstat_sites_lost();
}

void
engine_audit(struct run_result *rr, const struct profile *p, bool last)
{
	struct lockgraph_frame *frames;
	struct lockgraph_class *classes;
	struct modules mo = { .mo_n = 0 };
	struct lockgraph lg;

	if (!LOCKDEBUG_ON() || rr->rr_lockgraph != NULL)
		return;
	if (last)
		lockevent_judge(LOCKEVENT_LAST);
	/* The auditor's tables are written where no race detector looks, at addresses that were others'. */
	race_access_ignore(true);
	lg = *lockorder_export();
	frames = xcalloc(lg.lg_nframes + 1, sizeof(*frames));
	for (uint32_t i = 0; i < lg.lg_nframes; i++) {
		frames[i] = lg.lg_frames[i];
		locate(&mo, &frames[i]);
	}
	classes = xcalloc(lg.lg_nclasses + 1, sizeof(*classes));
	memcpy(classes, lg.lg_classes, lg.lg_nclasses * sizeof(*classes));
	add_sites(&lg, &mo, classes);
	lg.lg_classes = classes;
	lg.lg_frames = frames;
	lg.lg_modules = mo.mo_v;
	lg.lg_nmodules = mo.mo_n;
	rr->rr_lockgraph = lockgraph_of_run(&lg, p->p_name, rr->rr_command, rr->rr_seed);
	race_access_ignore(false);
	free(frames);
	free(classes);
	free((void *)(uintptr_t)lg.lg_sites);
	free(mo.mo_v);
}
