/*
 * Lock debugging, switched off: the same functions, and none of the work.
 * Read holds cannot be told from others' then.
 */
#include "../src/kern/kern_int.h"

const struct lock_class_info lock_classes[LC_COUNT] = {
#define	NEST	true
#define	NONEST	false
#define	LOCK_CLASS(name, rank, nest, reason)	{ #name, rank, nest, reason },
#include "lockrank.def"
#undef LOCK_CLASS
};

bool lockdebug_order;

void
lockdebug_init(void)
{
}

void
lockdebug_want(const void *lock, uint32_t id, enum lock_class class, enum lock_how how,
    bool try, void *where)
{
}

void
lockdebug_locked(const void *lock, uint32_t id, enum lock_class class, enum lock_how how,
    void *where)
{
}

void
lockdebug_unlocked(const void *lock, enum lock_how how, void *where)
{
}

int
lockdebug_holds(const void *lock)
{
	return LOCK_READ;
}

void
lockdebug_barrier(const char *what)
{
}

void
lockdebug_fault_barrier(const char *what)
{
}

void
lockdebug_sleep_barrier(const char *what)
{
}

void
lockdebug_mem_check(const void *base, unsigned long size)
{
}
