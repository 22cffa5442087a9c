/*
 * From event histories to a timeline: which events begin what, and which end it.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/timeline.h>
#include <harness/xalloc.h>
#include <sys/kernhist.h>
#include <sys/kernel.h>
#include <sys/lockdebug.h>
#include <sys/lwp.h>

#include "show_int.h"

/* What a kind of event means to a timeline; instants have no row. */
static const struct {
	enum timeline_what	 m_what;
	const char		*m_span;
} meaning[KE_COUNT] = {
	[KE_fault_enter] = { TL_BEGIN, "fault" },
	[KE_fault_done] = { TL_END, "fault" },
	[KE_fault_exit] = { TL_END, "fault" },
	[KE_shootdown_send] = { TL_BEGIN, "shootdown" },
	[KE_shootdown_done] = { TL_END, "shootdown" },
	[KE_lwp_sleep] = { TL_BEGIN, "sleep" },
	[KE_lwp_wakeup] = { TL_END, "sleep" },
	[KE_lwp_switch] = { TL_SWITCH, NULL },
	[KE_lock_wait] = { TL_WAITED, "lock" },
	[KE_interrupt] = { TL_INTERRUPT, NULL },
	[KE_page_loans] = { TL_OPEN, "loan" },
	[KE_pageout_start] = { TL_OPEN, "pageout" },
	[KE_pageout_done] = { TL_CLOSE, "pageout" },
	[KE_pagein_start] = { TL_OPEN, "pagein" },
	[KE_pagein_done] = { TL_CLOSE, "pagein" },
	[KE_io_start] = { TL_OPEN, "file i/o" },
	[KE_io_done] = { TL_CLOSE, "file i/o" },
};

static void
one_name(struct lwp *l, void *arg)
{
	struct timeline *tl = arg;
	struct timeline_lwp *tw;

	for (size_t i = 0; i < tl->tl_nlwps; i++)
		if (tl->tl_lwps[i].tw_id == l->l_id)
			return;
	tl->tl_lwps = xgrow(tl->tl_lwps, tl->tl_nlwps, sizeof(*tl->tl_lwps));
	tw = &tl->tl_lwps[tl->tl_nlwps++];
	tw->tw_id = l->l_id;
	snprintf(tw->tw_name, sizeof(tw->tw_name), "%s", l->l_name);
}

void
timeline_names(struct timeline *tl)
{
	lwp_foreach(one_name, tl);
}

static void
translate(const struct kern_history_ent *ke, struct timeline_event *te)
{
	char text[160];

	te->te_cpu = ke->ke_cpu;
	te->te_lwp = ke->ke_lwp;
	te->te_id = ke->ke_first;
	te->te_kind = kernhist_kind_name((enum kern_event)ke->ke_kind);
	te->te_what = meaning[ke->ke_kind].m_what;
	te->te_span = meaning[ke->ke_kind].m_span;
	switch (ke->ke_kind) {
	case KE_lwp_wakeup:		/* told by who wakes it */
		te->te_lwp = ke->ke_first;
		break;
	case KE_lwp_switch:
		te->te_id = ke->ke_second;
		break;
	case KE_lock_wait:
		te->te_id = ke->ke_word < UINT32_MAX ? (uint32_t)ke->ke_word : UINT32_MAX;
		break;
	case KE_page_loans:
		if (ke->ke_second == 0)
			te->te_what = TL_CLOSE;
		break;
	}
	/* a handler has no line of its own; whom it wakes has */
	if (ke->ke_intr != 0 && ke->ke_kind != KE_lwp_wakeup && te->te_what != TL_OPEN &&
	    te->te_what != TL_CLOSE)
		te->te_what = TL_INTERRUPT;
	kernhist_say(ke, text, sizeof(text));
	te->te_text = xstrdup(text);
}

void
timeline_capture(struct timeline *tl)
{
	struct kern_history_ent *ev;
	double tick_ns = kernhist_tick_ns();
	size_t n;

	timeline_forget(tl);
	tl->tl_ncpu = (unsigned)ncpu;
	ev = history_by_time(UINT64_MAX, &n);
	tl->tl_v = xcalloc(n + 1, sizeof(*tl->tl_v));
	for (size_t i = 0; i < n; i++) {
		tl->tl_v[i].te_ns = (uint64_t)((double)(ev[i].ke_when - ev[0].ke_when) * tick_ns);
		translate(&ev[i], &tl->tl_v[i]);
	}
	tl->tl_n = n;
	free(ev);
}
