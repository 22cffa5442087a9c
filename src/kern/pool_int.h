/*
 * Free items are out of bounds under AddressSanitizer.
 */
#ifndef KERN_POOL_INT_H
#define KERN_POOL_INT_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define	POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define	POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define	pool_poison(p, n)	ASAN_POISON_MEMORY_REGION((p), (n))
#define	pool_unpoison(p, n)	ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define	pool_poison(p, n)	((void)(p), (void)(n))
#define	pool_unpoison(p, n)	((void)(p), (void)(n))
#endif

#endif /* KERN_POOL_INT_H */
