/*
 * Self-test of the lock auditor: interrupts, IPLs, and locks that both sides take.
 *
 * Nothing is interrupted while it holds what the handler wants: that would hang, or panic.
 * The handler runs once, the other side runs once, in either order.
 */
#include "selftest_int.h"

static int held_at;			/* the IPL that A, or the last of them, is held at */

static void
take_a(void)
{
	take(&A);
	drop(&A);
}

static void
try_a(void)
{
	if (try(&A))
		drop(&A);
}

/* A spin mutex that raises no IPL: its user does. */
static void
make_bare(struct st_lock *l, const char *name)
{
	st_make_as(l, SPIN, lockdebug_class(name, 0, LO_NEST_NONE, LC_IPL_ANY), IPL_NONE);
}

static void
hold(struct st_lock *l)
{
	int s = splraise(held_at);

	take(l);
	drop(l);
	splx(s);
}

#define	LEVELS(intr, held)	((intr) | (held) << 4)

/* => in an interrupt of one level first, then held at another */
static void
taken_then_held(int levels)
{
	make_bare(&A, "A");
	held_at = levels >> 4;
	in_interrupt(levels & 15, take_a);
	hold(&A);
}

static void
held_then_taken(int levels)
{
	make_bare(&A, "A");
	held_at = levels >> 4;
	hold(&A);
	in_interrupt(levels & 15, take_a);
}

static void
held_then_tried(int levels)
{
	make_bare(&A, "A");
	held_at = levels >> 4;
	hold(&A);
	in_interrupt(levels & 15, try_a);
}

/* => tried, and got, with the interrupt open */
static void
tried_open(int levels)
{
	int s;

	make_bare(&A, "A");
	in_interrupt(levels & 15, take_a);
	s = splraise(levels >> 4);
	try_a();
	splx(s);
}

/* => the level of the handler that takes it is above the mutex's own */
static void
mutex_of(int levels)
{
	st_make_as(&A, SPIN, lockdebug_class("A", 0, LO_NEST_NONE, LC_IPL_ANY), levels >> 4);
	take_a();
	in_interrupt(levels & 15, take_a);
}

/* --- through a second lock: A in an interrupt; A, then B; B with the interrupt open --- */

static void
a_then_b(void)
{
	int s = splhigh();

	take2(&A, &B);
	splx(s);
}

static void
b_then_c(void)
{
	int s = splhigh();

	take2(&B, &C);
	splx(s);
}

static void
make_two(int ipl)
{
	make_bare(&A, "A");
	make_bare(&B, "B");
	make_bare(&C, "C");
	held_at = ipl;
}

static void
through_edge_last(int ipl)
{
	int s;

	make_two(ipl);
	in_interrupt(IPL_VM, take_a);
	hold(&B);
	s = splhigh();			/* each by itself: then the order alone is new */
	take_a();
	take(&B);
	drop(&B);
	splx(s);
	a_then_b();
}

static void
through_open_last(int ipl)
{
	make_two(ipl);
	in_interrupt(IPL_VM, take_a);
	a_then_b();
	hold(&B);
}

static void
through_intr_last(int ipl)
{
	make_two(ipl);
	hold(&B);
	a_then_b();
	in_interrupt(IPL_VM, take_a);
}

static void
through_three(int ipl)
{
	make_two(ipl);
	in_interrupt(IPL_VM, take_a);
	a_then_b();
	b_then_c();
	hold(&C);
}

static void
b_then_a(int ipl)
{
	int s;

	make_two(ipl);
	in_interrupt(IPL_VM, take_a);
	hold(&B);
	s = splhigh();
	take2(&B, &A);
	splx(s);
}

/* --- what a handler does to an order: its locks are its own --- */

static void
take_ab(void)
{
	take2(&A, &B);
}

static void
take_ba(void)
{
	take2(&B, &A);
}

static void
order_in_interrupt(int wrong)
{
	st_make(&A, SPIN, "A");
	st_make(&B, SPIN, "B");
	take_ab();
	in_interrupt(IPL_VM, wrong ? take_ba : take_ab);
}

/* => the handler interrupts the holder of what it wants; of a mutex that it does not: no order */
static void
over_its_holder(int ipl)
{
	make_bare(&A, "A");
	take(&A);
	in_interrupt(ipl, take_a);
}

static void
over_a_mutex(int ipl)
{
	st_make(&A, SPIN, "A");
	st_make(&B, MUTEX, "B");
	take(&B);
	in_interrupt(ipl, take_a);
	take_a();
	drop(&B);
}

/* --- spl --- */

static void
fall_below(int to)
{
	st_make_as(&A, SPIN, lockdebug_class("A", 0, LO_NEST_NONE, LC_IPL_ANY), IPL_VM);
	take(&A);
	splhigh();
	splx(to);
	drop(&A);
}

static void
to_user_at(int ipl)
{
	splraise(ipl);
	lwp_userret(1);
}

static int exit_ipl;

static void
raise_ipl(void)
{
	splraise(exit_ipl);
}

static void
raise_and_lower(void)
{
	splx(splraise(exit_ipl));
}

static void
exit_at(int ipl)
{
	exit_ipl = ipl;
	in_lwp(raise_ipl);
}

static void
handler_leaks(int ipl)
{
	exit_ipl = ipl;
	in_interrupt(IPL_VM, raise_ipl);
}

static void
handler_restores(int ipl)
{
	exit_ipl = ipl;
	in_interrupt(IPL_VM, raise_and_lower);
}

static void
raise_by_splx(int wrong)
{
	int s = splvm();

	splx(wrong ? IPL_HIGH : s);
}

static void
leave_spin_held(void)
{
	take(&A);
}

static void
handler_keeps(int wrong)
{
	st_make(&A, SPIN, "A");
	in_interrupt(IPL_VM, wrong ? leave_spin_held : take_a);
}

#define	INV	"ipl-inversion"

static const struct st_row rows[] = {
	{ "in a hard interrupt, then held at IPL_NONE", taken_then_held, LEVELS(IPL_VM, IPL_NONE), INV,
	    taken_then_held, LEVELS(IPL_VM, IPL_VM) },
	{ "held at IPL_NONE, then in a hard interrupt", held_then_taken, LEVELS(IPL_VM, IPL_NONE), INV,
	    held_then_taken, LEVELS(IPL_VM, IPL_HIGH) },
	{ "in a soft interrupt, then held at IPL_NONE", taken_then_held, LEVELS(IPL_SOFTNET, IPL_NONE),
	    INV, taken_then_held, LEVELS(IPL_SOFTNET, IPL_SOFTNET) },
	{ "held at IPL_SOFTBIO, then in IPL_SOFTNET", held_then_taken, LEVELS(IPL_SOFTNET, IPL_SOFTBIO),
	    INV, held_then_taken, LEVELS(IPL_SOFTBIO, IPL_SOFTNET) },
	{ "held at IPL_VM, then in IPL_SCHED", held_then_taken, LEVELS(IPL_SCHED, IPL_VM), INV,
	    held_then_taken, LEVELS(IPL_VM, IPL_SCHED) },
	{ "a mutex of IPL_VM in an interrupt of IPL_SCHED", mutex_of, LEVELS(IPL_SCHED, IPL_VM), INV,
	    mutex_of, LEVELS(IPL_VM, IPL_VM) },
	{ "a mutex of IPL_VM in a soft interrupt (legal)", mutex_of, LEVELS(IPL_HIGH, IPL_SCHED), INV,
	    mutex_of, LEVELS(IPL_SOFTNET, IPL_VM) },
	{ "tried while open; tried in the interrupt (legal)", tried_open, LEVELS(IPL_VM, IPL_NONE), INV,
	    held_then_tried, LEVELS(IPL_VM, IPL_NONE) },
	{ "in IPL_VM A; A-B; B open: the order last", through_edge_last, IPL_NONE, INV, through_edge_last,
	    IPL_VM },
	{ "the same, B open last", through_open_last, IPL_NONE, INV, through_open_last, IPL_VM },
	{ "the same, the interrupt last", through_intr_last, IPL_NONE, INV, through_intr_last, IPL_VM },
	{ "A; A-B, B-C; C open", through_three, IPL_NONE, INV, through_three, IPL_VM },
	{ "B-A, B open is legal", through_edge_last, IPL_SOFTNET, INV, b_then_a, IPL_NONE },
	{ "order, the other way in an interrupt", order_in_interrupt, 1, "lock-cycle", order_in_interrupt,
	    0, "unconfirmed", NULL },
	{ "a handler over the holder of its lock; of a mutex (legal)", over_its_holder, IPL_VM,
	    INV, over_a_mutex, IPL_VM },
	{ "IPL falls below a spin mutex", fall_below, IPL_NONE, "spl-below-lock", fall_below, IPL_VM },
	{ "return to user at IPL_VM", to_user_at, IPL_VM, "return to user at IPL", to_user_at, IPL_NONE },
	{ "exit at IPL_HIGH", exit_at, IPL_HIGH, "exit at IPL", exit_at, IPL_NONE },
	{ "a handler comes back at a higher IPL", handler_leaks, IPL_HIGH, "came back at IPL",
	    handler_restores, IPL_HIGH },
	{ "a handler comes back with a spin mutex", handler_keeps, 1, "interrupt", handler_keeps, 0 },
	{ "splx() to a higher level", raise_by_splx, 1, "splx(7) at IPL", raise_by_splx, 0 },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_interrupt = { "interrupts and IPLs", rows, true };
