/*
 * mbufs: chains, clusters, and storage of others, freed in an interrupt too.
 */
#include <stdlib.h>
#include <string.h>

#include <ktest_kern.h>
#include <sys/mbuf.h>
#include <sys/pool.h>

static void *
page_alloc(struct pool *pp, int flags)
{
	return aligned_alloc(4096, 4096);
}

static void
page_free(struct pool *pp, void *page)
{
	CHECK(!cpu_intr_p());
	free(page);
}

static const struct pool_allocator heap = { page_alloc, page_free, 4096 };

static void
begin(void)
{
	ktest_kern(1, 1);
	mbinit(&heap);
}

static void
end(void)
{
	mbfini();
	kern_shutdown();
}

KTEST(a_chain_is_freed_whole, "data inside, in a cluster: lengths add up, nothing is left")
{
	struct mbuf *m, *n;

	begin();
	m = m_get(M_WAIT);
	memset(m->m_data, 1, MHLEN);
	m->m_len = MHLEN;
	n = m_get(M_DONTWAIT);
	CHECK(n != NULL && m_clget(n, M_DONTWAIT));
	memset(n->m_data, 2, MCLBYTES);
	n->m_len = MCLBYTES;
	m->m_next = n;
	CHECK_EQ(m_length(m), MHLEN + MCLBYTES);
	m_freem(m);
	m_freem(NULL);
	end();
}

static unsigned nfree;

static void
ext_free(struct mbuf *m, uint8_t *buf, size_t size, void *arg)
{
	CHECK(cpu_intr_p());
	CHECK(buf == NULL && size == 777 && arg == &nfree);
	nfree++;
}

static void
free_it(void *arg)
{
	m_freem(*(struct mbuf **)arg);
}

KTEST(R43_chains_are_freed_in_interrupt, "ext_free is called once, and pool_put counted as of an interrupt")
{
	static struct mbuf *m;

	begin();
	m = m_get(M_WAIT);
	m_extadd(m, NULL, 777, ext_free, &nfree);
	intr_establish(IRQ_NET, IPL_VM, free_it, &m);
	intr_post(curcpu(), IRQ_NET);
	intr_poll();
	ktest_settle();
	CHECK_EQ(nfree, 1);
	CHECK_EQ(curcpu()->ci_nintrput, 1);
	CHECK_EQ(curcpu()->ci_nirq[IRQ_NET], 1);
	end();
}

KTEST_DEATH(a_leaked_mbuf_is_reported, "an mbuf that did not come back", "did not come back")
{
	begin();
	(void)m_get(M_WAIT);
	end();
}

KTEST_MAIN()
