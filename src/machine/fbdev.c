/*
 * The simulated frame buffer.
 *
 * Its memory is host memory like RAM, but no frame of it is anybody's page.  Its register
 * page has no memory at all: loads and stores are calls.  A command is queued by the
 * store that gives it and carried out by IRQ_DEVICE on the storing CPU, as the disk's
 * requests are: with one CPU and one seed everything comes in one order.
 *
 * The sum of a page weighs each word with its place, so that a word that was lost, or
 * stored somewhere else, shows.
 */
#include <host/host.h>
#include <machine/device.h>
#include <machine/ram.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/kernel.h>
#include <sys/mutex.h>

#define	REGS_PA		(DEVICE_PA + ptoa(FB_NPAGES))
#define	QUEUE		128			/* commands not yet carried out, on one CPU */

static uint8_t *fb_mem;				/* : */
static bool fb_off[NDEV];			/* @ */

/* fb_lock */
static kmutex_t fb_lock;			/* LC_device, spin, IPL_VM */
static struct fb_queue {
	uint64_t fq_page[QUEUE];
	unsigned fq_head, fq_n;
} fb_queue[MAXCPUS];
static uint64_t fb_count[FB_NPAGES], fb_value[FB_NPAGES], fb_errors, fb_nintr;

_Static_assert(FB_REG_VALUE(FB_NPAGES) <= PAGE_SIZE, "registers of one page");

static void	fb_intr(void *);

void
device_init(void)
{
	KASSERT(ptoa(ram_npages) <= DEVICE_PA);
	fb_mem = host_mem_map(ptoa(FB_NPAGES));
	if (fb_mem == NULL)
		panic("no host memory for the frame buffer");
	mutex_init(&fb_lock, MUTEX_DEFAULT, IPL_VM, LC_device);
	for (int i = 0; i < MAXCPUS; i++)
		fb_queue[i] = (struct fb_queue){ .fq_n = 0 };
	for (int i = 0; i < FB_NPAGES; i++)
		fb_count[i] = fb_value[i] = 0;
	fb_errors = fb_nintr = 0;
	for (int i = 0; i < NDEV; i++)
		fb_off[i] = false;
	intr_establish(IRQ_DEVICE, IPL_VM, fb_intr, NULL);
}

void
device_fini(void)
{
	for (int i = 0; i < MAXCPUS; i++)
		KASSERTMSG(fb_queue[i].fq_n == 0, "%u commands of CPU %d in flight",
		    fb_queue[i].fq_n, i);
	mutex_destroy(&fb_lock);
	host_mem_unmap(fb_mem, ptoa(FB_NPAGES));
	fb_mem = NULL;
}

/* --- frames --- */

paddr_t
device_mmap(dev_minor_t dev, voff_t off, vm_prot_t prot)
{
	voff_t npages = dev == DEV_FB ? FB_NPAGES : 1;

	if (dev < 0 || dev >= NDEV || off < 0 || off >= (voff_t)ptoa(npages))
		return DEVICE_NONE;
	if ((prot & VM_PROT_EXECUTE) != 0 || __atomic_load_n(&fb_off[dev], __ATOMIC_RELAXED))
		return DEVICE_NONE;
	return (dev == DEV_FB ? DEVICE_PA : REGS_PA) + trunc_page((paddr_t)off);
}

void
device_online(dev_minor_t dev, bool on)
{
	KASSERT(dev >= 0 && dev < NDEV);
	/* relaxed: pairs with device_mmap(); a fault may just have missed it */
	__atomic_store_n(&fb_off[dev], !on, __ATOMIC_RELAXED);
}

bool
device_frame(paddr_t pa)
{
	return pa >= DEVICE_PA && pa < REGS_PA + PAGE_SIZE;
}

bool
device_register(paddr_t pa)
{
	return trunc_page(pa) == REGS_PA;
}

uint8_t *
device_host(paddr_t pa)
{
	KASSERT(device_frame(pa) && !device_register(pa));
	return fb_mem + (pa - DEVICE_PA);
}

/* --- registers --- */

uint64_t
device_load(paddr_t pa)
{
	uint64_t reg = pa - REGS_PA, value = 0;

	KASSERT(device_register(pa) && (pa & 7) == 0);
	mutex_spin_enter(&fb_lock);
	if (reg == FB_REG_ERRORS)
		value = fb_errors;
	else if (reg >= FB_REG_COUNT(0) && reg < FB_REG_COUNT(FB_NPAGES))
		value = (reg & 8) != 0 ? fb_value[(reg - 16) / 16] : fb_count[(reg - 16) / 16];
	mutex_spin_exit(&fb_lock);
	return value;
}

/* => fb_lock held: a command is a page to sum up; more than the device can hold are errors */
static void
fb_command(uint64_t page)
{
	struct fb_queue *fq = &fb_queue[curcpu()->ci_index];

	if (page >= FB_NPAGES || fq->fq_n == QUEUE) {
		fb_errors++;
		return;
	}
	fq->fq_page[(fq->fq_head + fq->fq_n++) % QUEUE] = page;
	intr_post(curcpu(), IRQ_DEVICE);
}

void
device_store(paddr_t pa, uint64_t value)
{
	KASSERT(device_register(pa) && (pa & 7) == 0);
	KASSERT(!cpu_intr_p());
	mutex_spin_enter(&fb_lock);
	if (pa - REGS_PA == FB_REG_SUM)
		fb_command(value);
	else
		fb_errors++;			/* the others cannot be stored to */
	mutex_spin_exit(&fb_lock);		/* the interrupt comes in here, if IPL allows */
}

/* IPL_VM: what this CPU has asked for. */
static void
fb_intr(void *arg)
{
	struct fb_queue *fq = &fb_queue[curcpu()->ci_index];

	mutex_spin_enter(&fb_lock);
	fb_nintr++;
	while (fq->fq_n > 0) {
		uint64_t page = fq->fq_page[fq->fq_head];

		fq->fq_head = (fq->fq_head + 1) % QUEUE;
		fq->fq_n--;
		fb_value[page] = fb_sum((unsigned)page);
		fb_count[page]++;
	}
	mutex_spin_exit(&fb_lock);
}

/* --- for those who look --- */

uint64_t
fb_word(unsigned page, unsigned word)
{
	const uint64_t *words = (const void *)(fb_mem + ptoa(page));

	KASSERT(page < FB_NPAGES && word < PAGE_SIZE / sizeof(*words));
	/* relaxed: CPUs store to it meanwhile, a word at a time */
	return __atomic_load_n(&words[word], __ATOMIC_RELAXED);
}

uint64_t
fb_sum(unsigned page)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(sum); i++)
		sum += fb_word(page, i) * (2 * (uint64_t)i + 1);
	return sum;
}

uint64_t
fb_interrupts(void)
{
	uint64_t n;

	mutex_spin_enter(&fb_lock);
	n = fb_nintr;
	mutex_spin_exit(&fb_lock);
	return n;
}
