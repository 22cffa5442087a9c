/*
 * mbufs.
 *
 * An mbuf is MSIZE bytes: the header, then MHLEN bytes of data of its own.  Both pools
 * are caches of IPL_VM, so a network interface's interrupt may free chains; it is the
 * pool's affair not to block then (R43).
 */
#include <string.h>
#include <sys/kernel.h>
#include <sys/mbuf.h>
#include <sys/pool.h>

static pool_cache_t mb_cache, mcl_cache;	/* : */

void
mbinit(const struct pool_allocator *pa)
{
	mb_cache = pool_cache_create(MSIZE, 16, "mbpl", pa, IPL_VM, NULL, NULL, NULL);
	mcl_cache = pool_cache_create(MCLBYTES, 16, "mclpl", pa, IPL_VM, NULL, NULL, NULL);
}

static void
cache_fini(pool_cache_t pc, const char *what)
{
	if (pool_cache_nout(pc) != 0)
		violation(VIOL_LEAK, "mbuf-leak", "%llu %s did not come back",
		    (unsigned long long)pool_cache_nout(pc), what);
	else
		pool_cache_destroy(pc);
}

void
mbfini(void)
{
	cache_fini(mb_cache, "mbufs");
	cache_fini(mcl_cache, "clusters");
}

static int
pool_flags(int how)
{
	return how == M_WAIT ? PR_WAITOK : PR_NOWAIT;
}

struct mbuf *
m_get(int how)
{
	struct mbuf *m = pool_cache_get(mb_cache, pool_flags(how));

	if (m == NULL)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->m_data = (uint8_t *)(m + 1);
	return m;
}

static void
free_cluster(struct mbuf *m, uint8_t *buf, size_t size, void *arg)
{
	pool_cache_put(mcl_cache, buf);
}

int
m_clget(struct mbuf *m, int how)
{
	uint8_t *cluster = pool_cache_get(mcl_cache, pool_flags(how));

	if (cluster == NULL)
		return 0;
	m_extadd(m, cluster, MCLBYTES, free_cluster, NULL);
	m->m_flags |= M_CLUSTER;
	return 1;
}

void
m_extadd(struct mbuf *m, uint8_t *buf, size_t size,
    void (*ext_free)(struct mbuf *, uint8_t *, size_t, void *), void *arg)
{
	KASSERT((m->m_flags & M_EXT) == 0);
	KASSERT(ext_free != NULL);
	m->m_flags |= M_EXT;
	m->m_data = buf;
	m->m_ext.ext_buf = buf;
	m->m_ext.ext_size = size;
	m->m_ext.ext_free = ext_free;
	m->m_ext.ext_arg = arg;
}

struct mbuf *
m_free(struct mbuf *m)
{
	struct mbuf *next = m->m_next;

	if (m->m_flags & M_EXT)
		m->m_ext.ext_free(m, m->m_ext.ext_buf, m->m_ext.ext_size, m->m_ext.ext_arg);
	pool_cache_put(mb_cache, m);
	return next;
}

void
m_freem(struct mbuf *m)
{
	while (m != NULL)
		m = m_free(m);
}

size_t
m_length(const struct mbuf *m)
{
	size_t len = 0;

	for (; m != NULL; m = m->m_next)
		len += m->m_len;
	return len;
}
