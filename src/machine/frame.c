/*
 * What frames hold: filled, copied, marked while free.
 *
 * The content of RAM belongs to simulated programs, devices and whoever stores to a page while
 * it is being copied; their order is no concern of a race detector's, which has page structures
 * and page tables to watch.  So this file is bare (host/race.h), and in ThreadSanitizer's build
 * calls neither memset() nor memcpy(), which it would watch after all.
 */
#include <machine/ram.h>
#include <string.h>

#define	FRAME_WORDS	(PAGE_SIZE / sizeof(uint64_t))
#define	FREE_PATTERN	0xdeadf4eedeadf4eeUL	/* "dead free": no page stamp looks so */

void
frame_zero(paddr_t pa)
{
#if UVMSTRESS_TSAN
	void *to = ram_host(pa);
	size_t n = FRAME_WORDS;

	__asm__ volatile("rep stosq" : "+D" (to), "+c" (n) : "a" (0UL) : "memory");
#else
	memset(ram_host(pa), 0, PAGE_SIZE);
#endif
}

/* The source may be stored to by other CPUs, word by word; no word is torn. */
void
frame_copy(paddr_t src, paddr_t dst)
{
#if UVMSTRESS_TSAN
	const void *from = ram_host(src);
	void *to = ram_host(dst);
	size_t n = FRAME_WORDS;

	__asm__ volatile("rep movsq" : "+D" (to), "+S" (from), "+c" (n) :: "memory");
#else
	memcpy(ram_host(dst), ram_host(src), PAGE_SIZE);
#endif
}

/*
 * How far apart the pattern's words are.  Filling and reading every word would cost
 * as much as all the rest of a fault, so each free is marked at eight places, and one
 * in sixteen throughout; which, the generation tells.
 */
#define	FEW	(FRAME_WORDS / 8)

static bool
throughout(uint32_t generation)
{
	return __builtin_expect(generation % 16 == 0, 0);
}

void
frame_mark_free(paddr_t pa, uint32_t generation)
{
	volatile uint64_t *word = ram_host(pa);

	for (size_t i = 0; i < FRAME_WORDS; i += FEW)
		word[i] = FREE_PATTERN;
	if (throughout(generation))
		for (size_t i = 0; i < FRAME_WORDS; i++)
			word[i] = FREE_PATTERN;
}

/* => NULL, or the first of every step-th word that is something else */
static const uint64_t *
first_spoilt(const uint64_t *word, size_t step)
{
	for (size_t i = 0; i < FRAME_WORDS; i += step)
		if (word[i] != FREE_PATTERN)
			return &word[i];
	return NULL;
}

/* One branch for all words that are looked at: lines come from memory, and none waits for another. */
const uint64_t *
frame_not_free(paddr_t pa, uint32_t generation)
{
	typedef uint64_t pair __attribute__((vector_size(16)));
	const uint64_t *word = ram_host(pa);
	const pair *pairs = ram_host(pa), free = { FREE_PATTERN, FREE_PATTERN };
	uint64_t spoilt = 0;
	pair any = { 0, 0 };

	if (throughout(generation)) {
		for (size_t i = 0; i < FRAME_WORDS / 2; i += 4)
			any |= (pairs[i] ^ free) | (pairs[i + 1] ^ free) | (pairs[i + 2] ^ free) |
			    (pairs[i + 3] ^ free);
		return __builtin_expect((any[0] | any[1]) == 0, 1) ? NULL : first_spoilt(word, 1);
	}
	for (size_t i = 0; i < FRAME_WORDS; i += FEW)
		spoilt |= word[i] ^ FREE_PATTERN;
	return __builtin_expect(spoilt == 0, 1) ? NULL : first_spoilt(word, FEW);
}
