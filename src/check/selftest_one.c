/*
 * Self-test of the lock auditor: one lock, its life, its owner, and who must not hold it.
 */
#include "selftest_int.h"

static void
make_a(int kind)
{
	st_make(&A, kind, "A");
}

/* --- recursion --- */

static void
again(int kind)
{
	make_a(kind);
	take(&A);
	take(&A);
}

static void
one_after_the_other(int kind)
{
	make_a(kind);
	st_make(&B, kind, "B");
	take2(&A, &B);
	take(&A);
	drop(&A);
}

static void
read_then_write(int wrong)
{
	make_a(READ);
	take(&A);
	if (wrong)
		rw_enter(&A.st_rw, RW_WRITER);
	else if (!rw_tryupgrade(&A.st_rw))
		panic("the only reader cannot upgrade");
	drop(&A);
}

static void
write_then_read(int wrong)
{
	make_a(WRITE);
	take(&A);
	if (wrong)
		rw_enter(&A.st_rw, RW_READER);
	else
		rw_downgrade(&A.st_rw);
	drop(&A);
}

static void
tryread_twice(int wrong)
{
	make_a(READ);
	take(&A);
	if (!wrong)
		drop(&A);
	try(&A);
	drop(&A);
}

/* --- owners --- */

static void
take_a(void)
{
	take(&A);
}

static void
drop_free(int kind)
{
	make_a(kind);
	drop(&A);
}

static void
drop_twice(int kind)
{
	make_a(kind);
	take(&A);
	drop(&A);
	drop(&A);
}

static int channel;
static kmutex_t pause_lock;

static void
take_and_sleep(void *arg)
{
	take(&A);
	mutex_enter(&pause_lock);
	mtsleep(&channel, true, "holder", 0, &pause_lock);
}

static void
drop_others(int kind)
{
	struct lwp *l;

	make_a(kind);
	mutex_init(&pause_lock, MUTEX_DEFAULT, IPL_NONE, LC_test);
	if (lwp_create(&l, NULL, "holder", take_and_sleep, NULL) != 0)
		panic("selftest: no LWP");
	lwp_start(l);
	while (!sleepq_has_waiters(&channel))
		yield();
	drop(&A);
}

static void
take_and_drop_a(void)
{
	take(&A);
	drop(&A);
}

static void
drop_own(int kind)
{
	make_a(kind);
	take(&A);
	drop(&A);
	in_lwp(take_and_drop_a);
}

/* --- life --- */

static void
destroy(struct st_lock *l)
{
	if (l->st_kind == MUTEX || l->st_kind == SPIN)
		mutex_destroy(&l->st_m);
	else
		rw_destroy(&l->st_rw);
}

static void
use_unmade(int kind)
{
	A.st_kind = kind;
	take(&A);
}

static void
make_twice(int kind)
{
	make_a(kind);
	make_a(kind);
}

static void
make_destroy_make(int kind)
{
	make_a(kind);
	destroy(&A);
	make_a(kind);
	take(&A);
	drop(&A);
}

static void
use_destroyed(int kind)
{
	make_a(kind);
	destroy(&A);
	take(&A);
}

static void
destroy_twice(int kind)
{
	make_a(kind);
	destroy(&A);
	destroy(&A);
}

static void
destroy_held(int kind)
{
	make_a(kind);
	take(&A);
	destroy(&A);
}

static void
destroy_free(int kind)
{
	make_a(kind);
	take(&A);
	drop(&A);
	destroy(&A);
}

static void
free_held(int kind)
{
	make_a(kind);
	take(&A);
	lockdebug_mem_check(&A, sizeof(A));
}

static void
free_another(int kind)
{
	make_a(kind);
	st_make(&B, kind, "B");
	take(&A);
	lockdebug_mem_check(&B, sizeof(B));
	drop(&A);
}

static void
wrong_ipl(int wrong)
{
	st_make_as(&A, SPIN, LC_fpageq, wrong ? IPL_SCHED : IPL_VM);
}

/* --- where nothing may be held --- */

static void
exit_with(int kind)
{
	make_a(kind);
	in_lwp(take_a);
}

static void
exit_without(int kind)
{
	make_a(kind);
	in_lwp(take_and_drop_a);
}

static void
to_user_with(int kind)
{
	make_a(kind);
	take(&A);
	lwp_userret(1);
}

static void
to_user_without(int kind)
{
	make_a(kind);
	take(&A);
	drop(&A);
	lwp_userret(1);
}

static void
yield_with(int kind)
{
	make_a(kind);
	take(&A);
	yield();
}

static void
yield_without(int kind)
{
	make_a(kind);
	take(&A);
	drop(&A);
	yield();
}

static void
may_only_try(int wrong)
{
	st_make_as(&A, MUTEX, LC_uobj, IPL_NONE);
	curlwp->l_onlytry = UINT64_C(1) << LC_uobj;
	if (wrong)
		take(&A);
	else
		try(&A);
	drop(&A);
}

#define	HELD_EXIT	"exit with 1 locks held"
#define	HELD_USER	"return to user with 1 locks held"
#define	MYSELF		"locking against myself"

static const struct st_row rows[] = {
	{ "mutex, recursively", again, MUTEX, MYSELF, one_after_the_other, MUTEX },
	{ "spin mutex, recursively", again, SPIN, MYSELF, one_after_the_other, SPIN },
	{ "writer, recursively", again, WRITE, MYSELF, one_after_the_other, WRITE },
	{ "reader, recursively", again, READ, MYSELF, one_after_the_other, READ },
	{ "reader that writes; by upgrade (legal)", read_then_write, 1, MYSELF, read_then_write, 0 },
	{ "writer that reads; by downgrade (legal)", write_then_read, 1, MYSELF, write_then_read, 0 },
	{ "reader, a second time by trying", tryread_twice, 1, MYSELF, tryread_twice, 0 },
	{ "release of a free mutex", drop_free, MUTEX, "is not held by this LWP", drop_own, MUTEX },
	{ "release of a free spin mutex", drop_free, SPIN, "is not held by this CPU", drop_own, SPIN },
	{ "release of a free rwlock", drop_free, WRITE, "is not held by this LWP", drop_own, WRITE },
	{ "two releases, mutex", drop_twice, MUTEX, "is not held by this LWP", drop_own, MUTEX },
	{ "two releases, reader", drop_twice, READ, "is not held by this LWP", drop_own, READ },
	{ "release of another LWP's mutex", drop_others, MUTEX, "is not held by this LWP", drop_own, MUTEX },
	{ "release of another writer's rwlock", drop_others, WRITE, "is not held by this LWP", drop_own,
	    WRITE },
	{ "release of another reader's rwlock", drop_others, READ, "that this LWP does not hold", drop_own,
	    READ },
	{ "use before init, mutex", use_unmade, MUTEX, "not initialised", destroy_free, MUTEX },
	{ "use before init, rwlock", use_unmade, WRITE, "not initialised", destroy_free, WRITE },
	{ "double init, mutex", make_twice, MUTEX, "is initialised", make_destroy_make, MUTEX },
	{ "double init, spin mutex", make_twice, SPIN, "is initialised", make_destroy_make, SPIN },
	{ "double init, rwlock", make_twice, WRITE, "is initialised", make_destroy_make, WRITE },
	{ "use after destroy, mutex", use_destroyed, MUTEX, "or destroyed", destroy_free, MUTEX },
	{ "use after destroy, rwlock", use_destroyed, READ, "or destroyed", destroy_free, READ },
	{ "double destroy, mutex", destroy_twice, MUTEX, "not initialised", destroy_free, MUTEX },
	{ "double destroy, rwlock", destroy_twice, WRITE, "not initialised", destroy_free, WRITE },
	{ "destroyed while held, mutex", destroy_held, MUTEX, "is held", destroy_free, MUTEX },
	{ "destroyed while held, spin mutex", destroy_held, SPIN, "is held", destroy_free, SPIN },
	{ "destroyed while held, writer", destroy_held, WRITE, "is held", destroy_free, WRITE },
	{ "destroyed while held, reader", destroy_held, READ, "is held", destroy_free, READ },
	{ "memory freed with a held mutex in it", free_held, MUTEX, "memory freed with lock", free_another,
	    MUTEX },
	{ "memory freed with a held rwlock in it", free_held, READ, "memory freed with lock", free_another,
	    READ },
	{ "a mutex of another IPL than its class", wrong_ipl, 1, "lock-ipl", wrong_ipl, 0 },
	{ "exit with a mutex held", exit_with, MUTEX, HELD_EXIT, exit_without, MUTEX },
	{ "exit with a spin mutex held", exit_with, SPIN, HELD_EXIT, exit_without, SPIN },
	{ "exit with a read hold", exit_with, READ, HELD_EXIT, exit_without, READ },
	{ "return to user with a mutex held", to_user_with, MUTEX, HELD_USER, to_user_without, MUTEX },
	{ "return to user with a read hold", to_user_with, READ, HELD_USER, to_user_without, READ },
	{ "yield with a writer's hold", yield_with, WRITE, "yield with 1 locks held", yield_without, WRITE },
	{ "wait for what may only be tried", may_only_try, 1, "which it may only try", may_only_try, 0 },
	{ NULL, NULL, 0, NULL, NULL, 0 },
};

const struct st_group selftest_one = { "one lock", rows, true };
