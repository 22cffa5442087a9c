/*
 * liburcu's QSBR flavour behind host/rcu.h.
 *
 * ThreadSanitizer sees neither liburcu's inline assembly nor its membarriers,
 * so the two edges that make RCU correct are told to it: the end of a reader's
 * section releases the thread's tag, the end of a grace period acquires all
 * tags.  No edge is told in the other direction: a reader that starts after
 * the update finds its pointers by rcu_deref(), which TSan sees.
 *
 * What changes the thread's own state is masked: an interrupt in there may be a reader.
 */
#include <stdlib.h>

#include <urcu-qsbr.h>

#include <host/host.h>
#include <host/rcu.h>

#if defined(__SANITIZE_THREAD__)
#define	TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define	TSAN 1
#endif
#endif

#ifdef TSAN
void	__tsan_acquire(void *);
void	__tsan_release(void *);
void	AnnotateIgnoreSyncBegin(const char *, int);
void	AnnotateIgnoreSyncEnd(const char *, int);
#define	HB_ACQUIRE(p)	__tsan_acquire(p)
#define	HB_RELEASE(p)	__tsan_release(p)
/* liburcu's own mutex would make edges that hide missing ones of ours. */
#define	NOSYNC_BEGIN()	AnnotateIgnoreSyncBegin(__FILE__, __LINE__)
#define	NOSYNC_END()	AnnotateIgnoreSyncEnd(__FILE__, __LINE__)
#else
#define	HB_ACQUIRE(p)	((void)(p))
#define	HB_RELEASE(p)	((void)(p))
#define	NOSYNC_BEGIN()	((void)0)
#define	NOSYNC_END()	((void)0)
#endif

#define	TAGS	64		/* threads share tags: more edges, never a false report */

static struct {
	char c __attribute__((aligned(64)));
} tags[TAGS];
static unsigned ntags;			/* atomic: next tag to deal */
static __thread void *tag;
static __thread bool online;

static void
section_end(void)
{
	HB_RELEASE(tag);
}

void
host_rcu_register(void)
{
	tag = &tags[__atomic_fetch_add(&ntags, 1, __ATOMIC_RELAXED) % TAGS];
	host_mask();
	NOSYNC_BEGIN();
	urcu_qsbr_register_thread();
	NOSYNC_END();
	online = true;
	host_unmask();
}

void
host_rcu_unregister(void)
{
	host_mask();
	section_end();
	NOSYNC_BEGIN();
	urcu_qsbr_unregister_thread();
	NOSYNC_END();
	online = false;
	host_unmask();
}

void
host_rcu_read_lock(void)
{
	urcu_qsbr_read_lock();
}

void
host_rcu_read_unlock(void)
{
	urcu_qsbr_read_unlock();
}

void
host_rcu_quiescent(void)
{
	host_mask();
	section_end();
	urcu_qsbr_quiescent_state();
	host_unmask();
}

void
host_rcu_offline(void)
{
	if (!online)
		return;
	host_mask();
	section_end();
	urcu_qsbr_thread_offline();
	online = false;
	host_unmask();
}

void
host_rcu_online(void)
{
	if (online)
		return;
	host_mask();
	urcu_qsbr_thread_online();
	online = true;
	host_unmask();
}

void
host_rcu_synchronize(void)
{
	section_end();
	NOSYNC_BEGIN();
	urcu_qsbr_synchronize_rcu();
	NOSYNC_END();
	for (int i = 0; i < TAGS; i++)
		HB_ACQUIRE(&tags[i]);
}
