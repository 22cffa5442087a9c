/*
 * Interrupts.
 *
 * A lock that an interrupt of level L takes must nowhere be held while that interrupt may come
 * in, at an IPL below L: the handler would wait for whom it interrupts.  Nor may anything
 * be waited for with it held that is so held: the handler waits for the holder of the
 * first lock, who waits for whom it interrupts.  Trying is no waiting, so a trylock in a
 * handler counts for nothing; held at a low IPL it counts like any other.
 */
#include <string.h>

#include "lockorder_int.h"

static uint32_t taken;			/* L: first class that interrupts take, or NONE */

void
lo_usage_reset(void)
{
	taken = NONE;
}

/* => the highest level in a mask, -1: none */
static int
highest(unsigned mask)
{
	return mask == 0 ? -1 : 31 - __builtin_clz(mask);
}

static int
lowest(unsigned mask)
{
	return mask == 0 ? LO_LEVELS : __builtin_ctz(mask);
}

/*
 * => may an interrupt that takes u so come in where v is held so, and wait?  Readers wait for
 *    readers only if a writer waits between them, recursive ones never.
 */
static bool
inverted(const struct lo_class *u, int mode, const struct lo_class *v, int open)
{
	return highest(u->c_intr[mode]) > lowest(v->c_open[open]);
}

/* --- one class --- */

static void
judge_class(uint32_t class, struct lo_told *told)
{
	const struct lo_class *c = lo_class(class);

	for (int mode = 0; mode < 3; mode++)
		for (int open = 0; open < 2; open++) {
			struct lo_text print = { .tx_n = 0 }, message = { .tx_n = 0 };

			if ((mode == LO_READ_REC && open == 1) || !inverted(c, mode, c, open))
				continue;
			lo_text(&print, "ipl-inversion:%s", c->c_name);
			lo_text(&message, "%s is taken in an interrupt of level %d, and held at IPL %d%s",
			    c->c_name, highest(c->c_intr[mode]), lowest(c->c_open[open]),
			    open == 1 ? " (by readers)" : "");
			lo_found(told, "ipl-inversion", print.tx, mode == LO_READ && open == 1 ?
			    LOCKGRAPH_LATENT : LOCKGRAPH_UNCONFIRMED, NULL, 0,
			    c->c_intr_trace[mode], message.tx);
			lo_found_held(print.tx, c->c_open_trace[open]);
		}
}

void
lockorder_finding_open(const char *print, uint32_t class, int level)
{
	const struct lo_class *c = lo_class(class);

	lo_lock();
	for (int open = 0; open < 2; open++)
		if (lowest(c->c_open[open]) < level)
			lo_found_held(print, c->c_open_trace[open]);
	lo_unlock();
}

/* --- through other locks --- */

struct from_intr {
	uint32_t	fi_class;
	int		fi_mode;
};

static bool
is_open(void *arg, uint32_t class, bool rec)
{
	const struct from_intr *fi = arg;
	const struct lo_class *u = lo_class(fi->fi_class), *v = lo_class(class);

	if (class == fi->fi_class || v->c_kind == LOCKGRAPH_EVENT)
		return false;
	return inverted(u, fi->fi_mode, v, 0) || (!rec && inverted(u, fi->fi_mode, v, 1));
}

static void
judge_reach(uint32_t class, int mode, struct lo_told *told)
{
	struct from_intr fi = { class, mode };
	struct lo_text print = { .tx_n = 0 }, message = { .tx_n = 0 };
	const struct lo_class *u = lo_class(class), *v;
	struct lo_path path;
	uint32_t found;
	bool rec;

	if (!lo_reach(class, mode == LO_READ_REC, is_open, &fi, &found, &rec, &path))
		return;
	v = lo_class(found);
	lo_text(&print, "ipl-inversion:%s>%s", u->c_name, v->c_name);
	lo_text(&message, "%s is taken in an interrupt of level %d; with it held %s is wanted, which "
	    "is held at IPL %d", u->c_name, highest(u->c_intr[mode]), v->c_name,
	    lowest(v->c_open[0] | v->c_open[1]));
	lo_found(told, "ipl-inversion", print.tx, LOCKGRAPH_UNCONFIRMED, path.p_v, path.p_n,
	    u->c_intr_trace[mode], message.tx);
	lo_found_held(print.tx, v->c_open_trace[inverted(u, mode, v, 0) ? 0 : 1]);
}

void
lo_usage_edges(struct lo_told *told)
{
	for (uint32_t i = taken; i != NONE; i = lo_class(i)->c_in_next)
		for (int mode = 0; mode < 3; mode++)
			if (lo_class(i)->c_intr[mode] != 0)
				judge_reach(i, mode, told);
}

/* --- what happens --- */

static void
take_in_interrupt(const struct lockorder_want *w, uint32_t trace, bool *new)
{
	struct lo_class *c = lo_class(w->lw_class);
	const unsigned mode = w->lw_how & LO_MODE, bit = 1u << w->lw_level;

	if ((w->lw_how & LO_TRY) != 0 || (c->c_intr[mode] & bit) != 0)
		return;
	if ((c->c_intr[0] | c->c_intr[1] | c->c_intr[2]) == 0) {
		c->c_in_next = taken;
		taken = w->lw_class;
	}
	if (highest(c->c_intr[mode]) < w->lw_level)
		c->c_intr_trace[mode] = trace;
	c->c_intr[mode] |= (uint8_t)bit;
	c->c_usage |= LOCKGRAPH_IN_INTR;
	*new = true;
}

void
lo_usage(const struct lockorder_want *w, uint32_t trace, struct lo_told *told)
{
	struct lo_class *c = lo_class(w->lw_class);
	const unsigned mode = w->lw_how & LO_MODE, open = mode != LO_WRITE;
	const unsigned bit = 1u << w->lw_ipl;
	/* who waits for an event has not got it, whoever else does: only who is to end it */
	const bool held = c->c_kind != LOCKGRAPH_EVENT || (w->lw_how & LO_EVENT) != 0;
	bool new = false;

	c->c_chains++;
	c->c_usage |= (mode == LO_WRITE ? LOCKGRAPH_WRITE : LOCKGRAPH_READ) |
	    ((w->lw_how & LO_TRY) != 0 ? LOCKGRAPH_TRY : 0) |
	    ((w->lw_how & LO_SPIN) != 0 ? LOCKGRAPH_SPIN : 0);
	if (w->lw_depth != 0)
		take_in_interrupt(w, trace, &new);
	if (held && (c->c_open[open] & bit) == 0) {
		if (lowest(c->c_open[open]) > w->lw_ipl)
			c->c_open_trace[open] = trace;
		c->c_open[open] |= (uint8_t)bit;
		new = true;
	}
	if (new) {
		judge_class(w->lw_class, told);
		lo_usage_edges(told);
	}
}
