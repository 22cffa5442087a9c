/*
 * Devices with memory of their own: a frame buffer, and its registers.
 *
 * Their frames lie above RAM, from DEVICE_PA on, and have no page structure: pmap_enter()
 * maps them unmanaged, no generation tells who has freed them, and the X bit is refused.
 * Memory is reached like RAM.  A register page is not cached by any TLB: each access to
 * one walks the page table and is the device's affair, in whose routines no lock of the
 * caller is held; aligned words only.
 *
 * The frame buffer's registers, one word each; n is a page of the buffer:
 *
 *	0		store n: have page n summed up; n beyond the end is an error
 *	8		load: errors so far
 *	16 + 16 n	load: times page n was summed up
 *	24 + 16 n	load: the sum that was found last
 *
 * A store to word 0 posts IRQ_DEVICE to the storing CPU; the sum is there when that was
 * delivered, which is before this CPU's next access unless its IPL forbids.
 */
#ifndef MACHINE_DEVICE_H
#define MACHINE_DEVICE_H

#include <machine/ram.h>
#include <stdbool.h>
#include <stdint.h>

#define	DEVICE_PA	0x0000010000000000UL	/* where device frames begin */
#define	DEVICE_NONE	(~(paddr_t)0)

typedef int dev_minor_t;
#define	DEV_FB		0			/* the frame buffer's memory */
#define	DEV_FBREG	1			/* its registers, one page */
#define	NDEV		2

#define	FB_NPAGES	64
#define	FB_REG_SUM	0
#define	FB_REG_ERRORS	8
#define	FB_REG_COUNT(n)	(16 + 16 * (uint64_t)(n))
#define	FB_REG_VALUE(n)	(24 + 16 * (uint64_t)(n))

/* => the frame behind a byte offset of a device, or DEVICE_NONE: not there, or switched off,
 *    or not to be used like that (X).  Any context. */
paddr_t	device_mmap(dev_minor_t, voff_t, vm_prot_t);
/* => for tests: a device that is off has no frames to give; what is mapped stays */
void	device_online(dev_minor_t, bool);

/* => is there such a frame? */
bool	device_frame(paddr_t);
/* => is it one of registers? */
bool	device_register(paddr_t);
/* => host address of a frame of device memory, not of registers */
uint8_t	*device_host(paddr_t);
/* => an aligned word of registers; no spin lock held, not in interrupt */
uint64_t device_load(paddr_t);
void	device_store(paddr_t, uint64_t);

/* => host address of a frame that has memory: RAM, or a device's */
static inline uint8_t *
frame_host(paddr_t pa)
{
	return __builtin_expect(atop(pa) < ram_npages, 1) ? (uint8_t *)ram_host(pa) : device_host(pa);
}

/* => what a page of the frame buffer holds, past every TLB; its sum as the device takes it */
uint64_t fb_word(unsigned page, unsigned word);
uint64_t fb_sum(unsigned page);
uint64_t fb_interrupts(void);		/* delivered since boot */

void	device_init(void);		/* after ram_init() */
void	device_fini(void);

#endif /* MACHINE_DEVICE_H */
