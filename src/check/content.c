/*
 * Content models: stamps, shadows, coherent regions, synthetic files.
 *
 * Nothing here touches simulated memory; the workloads load and store, and ask
 * here what the answer must be.
 *
 * A stamp is 32 bits of sequence, 8 of writer, 24 of check.  The check covers
 * the object and the word's number, so a page that shows up at the wrong place
 * or in the wrong object is noticed at its first word: 1 in 2^24 gets through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/content.h>
#include <host/host.h>

#include <uvmstress_config.h>

#define	PAGE_BYTES	4096u
#define	PAGE_WORDS	(PAGE_BYTES / 8)

/* A finaliser of MurmurHash's shape: every input bit reaches every output bit. */
static uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

static uint64_t
stamp_check(uint64_t object, uint64_t word, uint64_t body)
{
	return mix(mix(object + 1) ^ mix(word * 0x9e3779b97f4a7c15ULL + body)) & 0xffffff;
}

uint64_t
stamp_make(uint64_t object, uint64_t word, struct stamp st)
{
	uint64_t body = (uint64_t)st.st_seq << 8 | st.st_writer;

	return body << 24 | stamp_check(object, word, body);
}

bool
stamp_read(uint64_t value, uint64_t object, uint64_t word, struct stamp *st)
{
	uint64_t body = value >> 24;

	if ((value & 0xffffff) != stamp_check(object, word, body))
		return false;
	st->st_seq = (uint32_t)(body >> 8);
	st->st_writer = (uint32_t)(body & 0xff);
	return true;
}

uint64_t
private_value(uint64_t owner, uint64_t va, uint64_t seq)
{
	return mix(mix(owner + 1) ^ mix(va) ^ seq) | 1;
}

/* A model of up to this size is resident at once, so that what grows later is a leak. */
#define	SHADOW_TOUCHED	(UINT64_C(256) << 20)

int
shadow_init(struct shadow *sh, uint64_t base, uint64_t size)
{
	sh->sh_base = base;
	sh->sh_size = size;
	sh->sh_words = host_mem_map(size);
	if (sh->sh_words == NULL)
		return ENOMEM;
	if (size <= SHADOW_TOUCHED)
		memset(sh->sh_words, 0, size);
	return 0;
}

void
shadow_fini(struct shadow *sh)
{
	if (sh->sh_words != NULL)
		host_mem_unmap(sh->sh_words, sh->sh_size);
	sh->sh_words = NULL;
}

int
shadow_copy(struct shadow *dst, const struct shadow *src)
{
	int error = shadow_init(dst, src->sh_base, src->sh_size);

	if (error == 0)
		memcpy(dst->sh_words, src->sh_words, src->sh_size);
	return error;
}

void
shadow_zero(struct shadow *sh, uint64_t va, uint64_t len)
{
#if UVMSTRESS_TSAN && defined(__x86_64__)
	void *to = shadow_word(sh, va);
	uint64_t n = len / 8;

	/* ThreadSanitizer would watch memset(), and in the model it watches nothing: see meson.build */
	__asm__ volatile("rep stosq" : "+D" (to), "+c" (n) : "a" (0UL) : "memory");
#else
	memset(shadow_word(sh, va), 0, len);
#endif
}

int
coherent_init(struct coherent *co, uint64_t object, uint64_t npages, unsigned nwriters,
    bool file)
{
	*co = (struct coherent){ .co_object = object, .co_npages = npages,
		.co_nwriters = nwriters, .co_file = file };
	co->co_floor = calloc(npages * nwriters, sizeof(*co->co_floor));
	return co->co_floor == NULL ? ENOMEM : 0;
}

void
coherent_fini(struct coherent *co)
{
	free(co->co_floor);
	co->co_floor = NULL;
}

/* Writers' words lie apart, and not at the same place in each page. */
uint64_t
coherent_word(const struct coherent *co, uint64_t page, unsigned writer)
{
	unsigned stride = PAGE_WORDS / co->co_nwriters;

	return page * PAGE_WORDS + writer * stride + page % stride;
}

static uint32_t *
floor_of(const struct coherent *co, uint64_t page, unsigned writer)
{
	return &co->co_floor[page * co->co_nwriters + writer];
}

uint32_t
coherent_floor(const struct coherent *co, uint64_t page, unsigned writer)
{
	/* acquire: pairs with coherent_raise(); what was seen then is seen by the load to come */
	return __atomic_load_n(floor_of(co, page, writer), __ATOMIC_ACQUIRE);
}

void
coherent_raise(struct coherent *co, uint64_t page, unsigned writer, uint32_t seq)
{
	uint32_t *floor = floor_of(co, page, writer);
	uint32_t old = __atomic_load_n(floor, __ATOMIC_RELAXED);

	/* release: pairs with coherent_floor(); the store, or the load that saw it, came before */
	while (old < seq && !__atomic_compare_exchange_n(floor, &old, seq, true,
	    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		continue;
}

const char *
coherent_judge(const struct coherent *co, uint64_t page, unsigned writer, uint64_t value,
    uint32_t floor, uint32_t *seq)
{
	struct stamp st;

	if (value == 0 && !co->co_file)
		st = (struct stamp){ 0, writer };
	else if (!stamp_read(value, co->co_object, coherent_word(co, page, writer), &st))
		return "is no stamp of this word";
	else if (st.st_writer == STAMP_NOBODY && co->co_file && st.st_seq == 0)
		st.st_writer = writer;
	if (st.st_writer != writer)
		return "was written by somebody who does not own the word";
	if (st.st_seq < floor)
		return "is older than a store that was complete, or seen, before the load";
	*seq = st.st_seq;
	return NULL;
}

uint64_t
content_file_word(uint64_t object, uint64_t word, uint64_t size)
{
	uint64_t value = stamp_make(object, word, (struct stamp){ 0, STAMP_NOBODY });

	if ((word + 1) * 8 <= size)
		return value;
	if (word * 8 >= size)
		return 0;
	return value & ((1ULL << (size - word * 8) * 8) - 1);	/* little endian: low bytes first */
}

int
content_zero_file(uint64_t size)
{
	int fd, error = host_file_temp(NULL, size, &fd);

	return error != 0 ? -error : fd;
}

int
content_file_create(uint64_t object, uint64_t size)
{
	uint64_t words[8 * PAGE_WORDS];
	int fd = content_zero_file(0);

	if (fd < 0)
		return fd;
	for (uint64_t done = 0; done < size;) {
		uint64_t want = size - done < sizeof(words) ? size - done : sizeof(words);
		ssize_t n;

		for (uint64_t i = 0; i < (want + 7) / 8; i++)
			words[i] = content_file_word(object, done / 8 + i, size);
		n = pwrite(fd, words, want, (off_t)done);
		if (n != (ssize_t)want) {
			int error = n < 0 ? errno : ENOSPC;

			close(fd);
			return -error;
		}
		done += want;
	}
	return fd;
}
