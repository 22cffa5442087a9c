/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The order of locks.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include "cases.h"

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER,
    c = PTHREAD_MUTEX_INITIALIZER, gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t ra = PTHREAD_RWLOCK_INITIALIZER, rb = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t
    wa = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
    wb = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_spinlock_t sa, sb;

/* --- two mutexes --- */

static void *
take_ab(void *arg)
{
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&b);
	UNLOCK(&a);
	return arg;
}

static void *
take_ba(void *arg)
{
	LOCK(&b);
	LOCK(&a);
	UNLOCK(&a);
	UNLOCK(&b);
	return arg;
}

static void
abba_one_thread(void)
{
	take_ab(NULL);
	take_ba(NULL);
}

static void
abba_two_threads(void)
{
	in_thread(take_ab, NULL);
	in_thread(take_ba, NULL);
}

static void
abab_two_threads(void)
{
	in_thread(take_ab, NULL);
	in_thread(take_ab, NULL);
}

/* Both orders, but never one within the other. */
static void
apart_two_threads(void)
{
	in_thread(take_ab, NULL);
	LOCK(&b);
	UNLOCK(&b);
	LOCK(&a);
	UNLOCK(&a);
}

/* Released in the order in which they were taken: a is not held any more when it is taken again. */
static void
out_of_order_release(void)
{
	in_thread(take_ab, NULL);
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&a);
	UNLOCK(&b);
	in_thread(take_ab, NULL);
}

static void *
drop_first(void *arg)
{
	LOCK(&a);
	LOCK(&b);
	UNLOCK(&a);			/* b stays */
	LOCK(&a);
	UNLOCK(&a);
	UNLOCK(&b);
	return arg;
}

static void
retaken_behind(void)
{
	in_thread(drop_first, NULL);
}

/* Released by a call that no auditor sees: then it is not held, whatever anybody thinks. */
static void
released_unseen(void)
{
	int (*release)(pthread_mutex_t *) = (int (*)(pthread_mutex_t *))(uintptr_t)
	    dlvsym(RTLD_DEFAULT, "__pthread_mutex_unlock", "GLIBC_2.2.5");

	LOCK(&a);
	must(release != NULL ? release(&a) : pthread_mutex_unlock(&a));
	LOCK(&b);
	UNLOCK(&b);
	in_thread(take_ba, NULL);
}

/* --- rings --- */

static pthread_mutex_t *ring;

static void
make_ring(int n)
{
	ring = calloc((size_t)n, sizeof(*ring));
	for (int i = 0; i < n; i++)
		must(pthread_mutex_init(&ring[i], NULL));
}

/* Each pair is another thread's in spirit: nothing but pairs is ever held. */
static void
go_round(int n, int pairs)
{
	for (int i = 0; i < pairs; i++) {
		LOCK(&ring[i % n]);
		LOCK(&ring[(i + 1) % n]);
		UNLOCK(&ring[(i + 1) % n]);
		UNLOCK(&ring[i % n]);
	}
}

static void *
close_ring(void *arg)
{
	const int n = *(int *)arg;

	LOCK(&ring[n - 1]);
	LOCK(&ring[0]);
	UNLOCK(&ring[0]);
	UNLOCK(&ring[n - 1]);
	return NULL;
}

static void
ring_of(int n, int closed)
{
	make_ring(n);
	go_round(n, n - 1);
	if (closed)
		in_thread(close_ring, &n);
}

static void ring_3(void) { ring_of(3, 1); }
static void chain_3(void) { ring_of(3, 0); }
static void ring_5000(void) { ring_of(5000, 1); }
static void chain_5000(void) { ring_of(5000, 0); }

static void *
take_bc(void *arg)
{
	LOCK(&b);
	LOCK(&c);
	UNLOCK(&c);
	UNLOCK(&b);
	return arg;
}

static void *
take_ca(void *arg)
{
	LOCK(&c);
	LOCK(&a);
	UNLOCK(&a);
	UNLOCK(&c);
	return arg;
}

/* Three classes, no two of which are ever taken both ways. */
static void
ring_3_classes(void)
{
	in_thread(take_ab, NULL);
	in_thread(take_bc, NULL);
	in_thread(take_ca, NULL);
}

static void *
take_ac(void *arg)
{
	LOCK(&a);
	LOCK(&c);
	UNLOCK(&c);
	UNLOCK(&a);
	return arg;
}

static void
chain_3_classes(void)
{
	in_thread(take_ab, NULL);
	in_thread(take_bc, NULL);
	in_thread(take_ac, NULL);
}

/* --- trying --- */

/* a is only tried with b held: who fails does not wait. */
static void *
try_inner(void *arg)
{
	LOCK(&b);
	if (pthread_mutex_trylock(&a) == 0)
		UNLOCK(&a);
	UNLOCK(&b);
	return arg;
}

static void
trylock_inner(void)
{
	in_thread(take_ab, NULL);
	in_thread(try_inner, NULL);
}

/* b was got by trying, but is held like any other while a is waited for. */
static void *
try_outer(void *arg)
{
	if (pthread_mutex_trylock(&b) == 0) {
		LOCK(&a);
		UNLOCK(&a);
		UNLOCK(&b);
	}
	return arg;
}

static void
trylock_outer(void)
{
	in_thread(take_ab, NULL);
	in_thread(try_outer, NULL);
}

static void *
timed_inner(void *arg)
{
	struct timespec soon;

	must(clock_gettime(CLOCK_REALTIME, &soon));
	soon.tv_sec += 1;
	LOCK(&b);
	if (pthread_mutex_timedlock(&a, &soon) == 0)
		UNLOCK(&a);
	UNLOCK(&b);
	return arg;
}

static void
timedlock_inner(void)
{
	in_thread(take_ab, NULL);
	in_thread(timed_inner, NULL);
}

/* --- readers and writers --- */

struct two {
	pthread_rwlock_t *t_outer, *t_inner;
	int t_outer_write, t_inner_write;
};

static void *
take_two(void *arg)
{
	const struct two *t = arg;

	must((t->t_outer_write ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(t->t_outer));
	must((t->t_inner_write ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(t->t_inner));
	RWUNLOCK(t->t_inner);
	RWUNLOCK(t->t_outer);
	return NULL;
}

static void
both_ways(pthread_rwlock_t *x, pthread_rwlock_t *y, int x1, int y1, int y2, int x2)
{
	struct two one = { x, y, x1, y1 }, other = { y, x, y2, x2 };

	in_thread(take_two, &one);
	in_thread(take_two, &other);
}

static void rw_write_write(void) { both_ways(&ra, &rb, 1, 1, 1, 1); }
static void rw_read_write(void) { both_ways(&ra, &rb, 0, 1, 0, 1); }
static void rw_write_read(void) { both_ways(&ra, &rb, 1, 0, 1, 0); }
static void rw_read_read(void) { both_ways(&ra, &rb, 0, 0, 0, 0); }
static void rw_one_sided(void) { both_ways(&ra, &rb, 0, 1, 0, 0); }
static void rw_fair_read_read(void) { both_ways(&wa, &wb, 0, 0, 0, 0); }

/* --- spin locks --- */

static void *
spin_ab(void *arg)
{
	must(pthread_spin_lock(&sa));
	must(pthread_spin_lock(&sb));
	must(pthread_spin_unlock(&sb));
	must(pthread_spin_unlock(&sa));
	return arg;
}

static void *
spin_ba(void *arg)
{
	must(pthread_spin_lock(&sb));
	must(pthread_spin_lock(&sa));
	must(pthread_spin_unlock(&sa));
	must(pthread_spin_unlock(&sb));
	return arg;
}

static void
make_spins(void)
{
	must(pthread_spin_init(&sa, PTHREAD_PROCESS_PRIVATE));
	must(pthread_spin_init(&sb, PTHREAD_PROCESS_PRIVATE));
}

static void
spin_abba(void)
{
	make_spins();
	in_thread(spin_ab, NULL);
	in_thread(spin_ba, NULL);
}

static void
spin_abab(void)
{
	make_spins();
	in_thread(spin_ab, NULL);
	in_thread(spin_ab, NULL);
}

/* A mutex within an rwlock, and the other way round. */
static void *
mutex_in_rwlock(void *arg)
{
	RDLOCK(&ra);
	LOCK(&a);
	UNLOCK(&a);
	RWUNLOCK(&ra);
	return arg;
}

static void *
rwlock_in_mutex(void *arg)
{
	LOCK(&a);
	must((arg != NULL ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(&ra));
	RWUNLOCK(&ra);
	UNLOCK(&a);
	return NULL;
}

static void
mutex_and_writer(void)
{
	in_thread(mutex_in_rwlock, NULL);
	in_thread(rwlock_in_mutex, &ra);
}

static void
mutex_and_reader(void)
{
	in_thread(mutex_in_rwlock, NULL);
	in_thread(rwlock_in_mutex, NULL);
}

/* --- classes and instances --- */

struct account {
	pthread_mutex_t ac_lock;
	pthread_mutex_t ac_log;
	struct account *ac_next;
};

static __attribute__((noinline)) struct account *
make_account(void)
{
	struct account *ac = calloc(1, sizeof(*ac));

	must(pthread_mutex_init(&ac->ac_lock, NULL));
	must(pthread_mutex_init(&ac->ac_log, NULL));
	return ac;
}

struct pair {
	struct account *p_first, *p_second;
};

static void *
take_locks(void *arg)
{
	struct pair *p = arg;

	LOCK(&p->p_first->ac_lock);
	LOCK(&p->p_second->ac_lock);
	UNLOCK(&p->p_second->ac_lock);
	UNLOCK(&p->p_first->ac_lock);
	return NULL;
}

/* Transfers both ways between two accounts. */
static void
instances_abba(void)
{
	struct account *x = make_account(), *y = make_account();
	struct pair xy = { x, y }, yx = { y, x };

	in_thread(take_locks, &xy);
	in_thread(take_locks, &yx);
}

static void
instances_ordered(void)
{
	struct account *x = make_account(), *y = make_account();
	struct pair xy = { x, y };

	in_thread(take_locks, &xy);
	in_thread(take_locks, &xy);
}

static void *
lock_then_log(void *arg)
{
	struct account *ac = arg;

	LOCK(&ac->ac_lock);
	LOCK(&ac->ac_log);
	UNLOCK(&ac->ac_log);
	UNLOCK(&ac->ac_lock);
	return NULL;
}

static void *
log_then_lock(void *arg)
{
	struct account *ac = arg;

	LOCK(&ac->ac_log);
	LOCK(&ac->ac_lock);
	UNLOCK(&ac->ac_lock);
	UNLOCK(&ac->ac_log);
	return NULL;
}

/* Of this account one way, of that one the other: no lock is taken both ways, the classes are. */
static void
class_inversion(void)
{
	in_thread(lock_then_log, make_account());
	in_thread(log_then_lock, make_account());
}

static void
class_order(void)
{
	in_thread(lock_then_log, make_account());
	in_thread(lock_then_log, make_account());
}

/* Two ways to make one: two classes, but objects of one type, locked by their numbers. */
static __attribute__((noinline)) struct account *
open_account(void)
{
	struct account *ac = make_account();

	__asm__ volatile("" ::: "memory");
	return ac;
}

static __attribute__((noinline)) struct account *
import_account(void)
{
	struct account *ac = make_account();

	__asm__ volatile("" ::: "memory");
	return ac;
}

static void
made_in_two_ways(void)
{
	struct account *v[] = { open_account(), import_account(), open_account(), import_account() };
	struct pair first = { v[0], v[1] }, second = { v[1], v[2] }, third = { v[2], v[3] };

	in_thread(take_locks, &first);
	in_thread(take_locks, &second);
	in_thread(take_locks, &third);
}

static void
made_in_two_ways_abba(void)
{
	struct account *x = open_account(), *y = import_account();
	struct pair xy = { x, y }, yx = { y, x };

	in_thread(take_locks, &xy);
	in_thread(take_locks, &yx);
}

/* Wrappers, as libraries have them: every lock of the program is made in one of two places. */
static __attribute__((noinline)) pthread_mutex_t *
new_mutex(void)
{
	pthread_mutex_t *m = malloc(sizeof(*m));

	must(pthread_mutex_init(m, NULL));
	return m;
}

static __attribute__((noinline)) pthread_rwlock_t *
new_rwlock(void)
{
	pthread_rwlock_t *rw = malloc(sizeof(*rw));

	must(pthread_rwlock_init(rw, NULL));
	return rw;
}

struct both {
	pthread_mutex_t *b_m;
	pthread_rwlock_t *b_rw;
};

static __attribute__((noinline)) struct both
new_cache(void)
{
	const struct both new = { new_mutex(), new_rwlock() };

	__asm__ volatile("" ::: "memory");
	return new;
}

static __attribute__((noinline)) struct both
new_session(void)
{
	const struct both new = { new_mutex(), new_rwlock() };

	__asm__ volatile("" ::: "memory");
	return new;
}

static void *
mutex_first(void *arg)
{
	const struct both *both = arg;

	LOCK(both->b_m);
	WRLOCK(both->b_rw);
	RWUNLOCK(both->b_rw);
	UNLOCK(both->b_m);
	return NULL;
}

static void *
rwlock_first(void *arg)
{
	const struct both *both = arg;

	WRLOCK(both->b_rw);
	LOCK(both->b_m);
	UNLOCK(both->b_m);
	RWUNLOCK(both->b_rw);
	return NULL;
}

/* A cache has its order, a session the opposite one; they have nothing to do with each other. */
static void
wrapped_two_roles(void)
{
	struct both cache = new_cache(), session = new_session();

	in_thread(mutex_first, &cache);
	in_thread(rwlock_first, &session);
}

static void
wrapped_inversion(void)
{
	struct both one = new_cache(), other = new_cache();

	in_thread(mutex_first, &one);
	in_thread(rwlock_first, &other);
}

#define MANY 70

static struct account *
make_list(int n)
{
	struct account *first = NULL;

	while (n-- > 0) {
		struct account *ac = make_account();

		ac->ac_next = first;
		first = ac;
	}
	return first;
}

static void *
walk(void *arg)
{
	struct account *ac = arg;

	LOCK(&ac->ac_lock);
	for (; ac->ac_next != NULL; ac = ac->ac_next) {
		LOCK(&ac->ac_next->ac_lock);
		UNLOCK(&ac->ac_lock);
	}
	UNLOCK(&ac->ac_lock);
	return NULL;
}

static void
hand_over_hand(void)
{
	struct account *list = make_list(MANY);

	in_thread(walk, list);
	in_thread(walk, list);
}

/* A list with its end tied to its beginning. */
static void
hand_over_hand_in_a_circle(void)
{
	struct account *list = make_list(5), *last = list, *ac = list;

	while (last->ac_next != NULL)
		last = last->ac_next;
	last->ac_next = list;
	LOCK(&ac->ac_lock);
	for (int i = 0; i < 5; i++, ac = ac->ac_next) {
		LOCK(&ac->ac_next->ac_lock);
		UNLOCK(&ac->ac_lock);
	}
	UNLOCK(&ac->ac_lock);
}

static void *
take_all(void *arg)
{
	for (int i = 0; i < MANY; i++)
		LOCK(&ring[i]);
	for (int i = MANY - 1; i >= 0; i--)
		UNLOCK(&ring[i]);
	return arg;
}

static void *
take_all_backwards(void *arg)
{
	for (int i = MANY - 1; i >= 0; i--)
		LOCK(&ring[i]);
	for (int i = 0; i < MANY; i++)
		UNLOCK(&ring[i]);
	return arg;
}

static void
seventy_held(void)
{
	make_ring(MANY);
	in_thread(take_all, NULL);
	in_thread(take_all, NULL);
}

static void
seventy_held_backwards(void)
{
	make_ring(MANY);
	in_thread(take_all, NULL);
	in_thread(take_all_backwards, NULL);
}

/* The 70th and the 71st. */
static void *
seventy_then(void *arg)
{
	for (int i = 0; i < MANY; i++)
		LOCK(&ring[i]);
	((void *(*)(void *))arg)(NULL);
	for (int i = 0; i < MANY; i++)
		UNLOCK(&ring[i]);
	return NULL;
}

static void
seventy_held_abba(void)
{
	make_ring(MANY);
	in_thread(seventy_then, take_ab);
	in_thread(take_ba, NULL);
}

/* --- gates --- */

static void *
gated_ab(void *arg)
{
	LOCK(&gate);
	take_ab(NULL);
	UNLOCK(&gate);
	return arg;
}

static void *
gated_ba(void *arg)
{
	LOCK(&gate);
	take_ba(NULL);
	UNLOCK(&gate);
	return arg;
}

static void
gate_lock(void)
{
	in_thread(gated_ab, NULL);
	in_thread(gated_ba, NULL);
}

static void
gate_only_once(void)
{
	in_thread(gated_ab, NULL);
	in_thread(take_ba, NULL);
}

/* Seen behind the gate at first, later without it. */
static void
gate_left_open(void)
{
	gate_lock();
	in_thread(take_ab, NULL);
}

static void *
gated_accounts(void *arg)
{
	LOCK(&gate);
	take_locks(arg);
	UNLOCK(&gate);
	return NULL;
}

static void
gate_over_instances(void)
{
	struct account *x = make_account(), *y = make_account();
	struct pair xy = { x, y }, yx = { y, x };

	in_thread(gated_accounts, &xy);
	in_thread(gated_accounts, &yx);
}

static void
gate_not_over_instances(void)
{
	struct account *x = make_account(), *y = make_account();
	struct pair xy = { x, y }, yx = { y, x };

	in_thread(gated_accounts, &xy);
	in_thread(take_locks, &yx);
}

/* What nobody initialises by a call, in memory that is used again, is another lock each time. */
static void
freed_and_made_again(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
	struct account *kept = make_account();

	for (int i = 0; i < 10; i++) {
		struct account *ac = calloc(1, sizeof(*ac));
		struct pair p = { i % 2 != 0 ? kept : ac, i % 2 != 0 ? ac : kept };

		ac->ac_lock = fresh;
		take_locks(&p);
		free(ac);
	}
}

/* The same, on the stack: which of the two words is taken first depends on the caller. */
static __attribute__((noinline)) void
two_on_the_stack(int swap)
{
	pthread_mutex_t v[2] = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER };

	LOCK(&v[swap]);
	LOCK(&v[!swap]);
	UNLOCK(&v[!swap]);
	UNLOCK(&v[swap]);
}

static void
stack_made_again(void)
{
	two_on_the_stack(0);
	two_on_the_stack(1);
}

static void
stack_abba(void)
{
	pthread_mutex_t x = PTHREAD_MUTEX_INITIALIZER, y = PTHREAD_MUTEX_INITIALIZER;

	for (int i = 0; i < 2; i++) {
		LOCK(i != 0 ? &x : &y);
		LOCK(i != 0 ? &y : &x);
		UNLOCK(&x);
		UNLOCK(&y);
	}
}

const struct preload_case order_cases[] = {
	{ "abba_one_thread", "lock-cycle", "latent", abba_one_thread, "apart_two_threads" },
	{ "abba_two_threads", "lock-cycle", "unconfirmed", abba_two_threads, "abab_two_threads" },
	{ "abab_two_threads", NULL, NULL, abab_two_threads, NULL },
	{ "apart_two_threads", NULL, NULL, apart_two_threads, NULL },
	{ "out_of_order_release", NULL, NULL, out_of_order_release, NULL },
	{ "retaken_behind", "lock-cycle", "latent", retaken_behind, "out_of_order_release" },
	{ "ring_3", "lock-cycle", "unconfirmed", ring_3, "chain_3" },
	{ "chain_3", NULL, NULL, chain_3, NULL },
	{ "ring_3_classes", "lock-cycle", "unconfirmed", ring_3_classes, "chain_3_classes" },
	{ "chain_3_classes", NULL, NULL, chain_3_classes, NULL },
	{ "ring_5000", "lock-cycle", "unconfirmed", ring_5000, "chain_5000" },
	{ "chain_5000", NULL, NULL, chain_5000, NULL },
	{ "trylock_outer", "lock-cycle", "unconfirmed", trylock_outer, "trylock_inner" },
	{ "trylock_inner", NULL, NULL, trylock_inner, NULL },
	{ "timedlock_inner", NULL, NULL, timedlock_inner, NULL },
	{ "rw_write_write", "lock-cycle", "unconfirmed", rw_write_write, "rw_one_sided" },
	{ "rw_read_write", "lock-cycle", "unconfirmed", rw_read_write, "rw_one_sided" },
	{ "rw_write_read", "lock-cycle", "unconfirmed", rw_write_read, "rw_one_sided" },
	{ "rw_read_read", NULL, NULL, rw_read_read, NULL },
	{ "rw_one_sided", NULL, NULL, rw_one_sided, NULL },
	{ "rw_fair_read_read", "lock-cycle", "latent", rw_fair_read_read, "rw_read_read" },
	{ "mutex_and_writer", "lock-cycle", "unconfirmed", mutex_and_writer, "mutex_and_reader" },
	{ "mutex_and_reader", NULL, NULL, mutex_and_reader, NULL },
	{ "spin_abba", "lock-cycle", "unconfirmed", spin_abba, "spin_abab" },
	{ "spin_abab", NULL, NULL, spin_abab, NULL },
	{ "instances_abba", "lock-cycle", "unconfirmed", instances_abba, "instances_ordered" },
	{ "instances_ordered", NULL, NULL, instances_ordered, NULL },
	{ "class_inversion", "lock-cycle", "unconfirmed", class_inversion, "class_order" },
	{ "class_order", NULL, NULL, class_order, NULL },
	{ "made_in_two_ways_abba", "lock-cycle", "unconfirmed", made_in_two_ways_abba, "made_in_two_ways" },
	{ "made_in_two_ways", NULL, NULL, made_in_two_ways, NULL },
	{ "wrapped_inversion", "lock-cycle", "unconfirmed", wrapped_inversion, "wrapped_two_roles" },
	{ "wrapped_two_roles", NULL, NULL, wrapped_two_roles, NULL },
	{ "hand_over_hand_in_a_circle", "lock-cycle", "latent", hand_over_hand_in_a_circle, "hand_over_hand" },
	{ "hand_over_hand", NULL, NULL, hand_over_hand, NULL },
	{ "seventy_held_backwards", "lock-cycle", "unconfirmed", seventy_held_backwards, "seventy_held" },
	{ "seventy_held_abba", "lock-cycle", "unconfirmed", seventy_held_abba, "seventy_held" },
	{ "seventy_held", NULL, NULL, seventy_held, NULL },
	{ "gate_only_once", "lock-cycle", "unconfirmed", gate_only_once, "gate_lock" },
	{ "gate_left_open", "lock-cycle", "unconfirmed", gate_left_open, "gate_lock" },
	{ "gate_lock", NULL, NULL, gate_lock, NULL },
	{ "gate_not_over_instances", "lock-cycle", "unconfirmed", gate_not_over_instances, "gate_over_instances" },
	{ "gate_over_instances", NULL, NULL, gate_over_instances, NULL },
	{ "released_unseen", NULL, NULL, released_unseen, NULL },
	{ "stack_abba", "lock-cycle", "latent", stack_abba, "stack_made_again" },
	{ "stack_made_again", NULL, NULL, stack_made_again, NULL },
	{ "freed_and_made_again", NULL, NULL, freed_and_made_again, NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};
