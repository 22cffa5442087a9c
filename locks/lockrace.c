/*
 * Locks as a race detector shows them: by class, and by where they were made.
 *
 * A detector names a lock by the stack on which it was created, and knows no other name.  So each
 * class has a function of its own, amap_lock_created() for amap, and the class is in the first frames:
 *
 *	Mutex M38 (0x7b2000001a40) created at:
 *	  #0 __tsan_mutex_create
 *	  #1 race_lock_create include/host/race.h:56
 *	  #2 amap_lock_created locks/lockrank.def:26
 *	  #3 amap_alloc src/uvm/uvm_amap.c:198
 */
#include "../src/kern/kern_int.h"

#include <host/race.h>

#if UVMSTRESS_TSAN || UVMSTRESS_VALGRIND

/* the barrier: a jump to the detector would leave no frame */
#define	LOCK_CLASS(name, ...)						\
static __attribute__((noinline)) void					\
name##_lock_created(const void *lock)					\
{									\
	race_lock_create(lock);						\
	__asm__ volatile("" ::: "memory");				\
}
#include "lockrank.def"
#undef LOCK_CLASS

static void (*const created[LC_COUNT])(const void *) = {
#define	LOCK_CLASS(name, ...)	name##_lock_created,
#include "lockrank.def"
#undef LOCK_CLASS
};

void
lock_race_create(const void *lock, enum lock_class class, void *where)
{
	race_frame_enter(where);	/* whose caller is instrumented, and we are not */
	created[class < LC_COUNT ? class : LC_test](lock);	/* beyond: made while it runs */
	race_frame_exit();
}

#else

void
lock_race_create(const void *lock, enum lock_class class, void *where)
{
}

#endif
