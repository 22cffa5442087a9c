/*
 * The content oracles: what memory must hold.
 *
 * Three models, one for each kind of sharing.
 *
 * Shadow: memory of one process.  A copy of every 64-bit word, kept by the
 * process' own threads; each word belongs to one thread, so the copy is exact
 * without a lock.  Fork copies it.
 *
 * Coherent: memory that several processes write.  A word says itself which
 * word it is, who wrote it and as which of his stores (a stamp); each word has
 * one writer.  Beside it stands a floor, the newest store that anybody has
 * completed or seen: a load that begins later must not return an older one.
 *
 * Files: a new file holds stamps of writer STAMP_NOBODY, so that each word of
 * it is known without being remembered.
 */
#ifndef HARNESS_CONTENT_H
#define HARNESS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stamp: sequence number, writer and a check over them, the object and the word's place. */
#define	STAMP_NOBODY	0xffu
#define	STAMP_WRITERS	64u

struct stamp {
	uint32_t st_seq;
	uint32_t st_writer;
};

/* => what that word of that object holds; the check has 24 bits */
uint64_t stamp_make(uint64_t object, uint64_t word, struct stamp);
/* => false: no stamp of that word */
bool	stamp_read(uint64_t value, uint64_t object, uint64_t word, struct stamp *);

/* => the value of a word that thread wrote as its seq-th store: never 0. */
uint64_t private_value(uint64_t owner, uint64_t va, uint64_t seq);

/*
 * sh_words: word of va at (va - sh_base) / 8, host memory, touched on demand.
 * A word: only the thread that owns it.
 */
struct shadow {
	uint64_t  sh_base;		/* stable */
	uint64_t  sh_size;		/* stable, bytes */
	uint64_t *sh_words;
};

/* => 0 or ENOMEM; all words 0 */
int	shadow_init(struct shadow *, uint64_t base, uint64_t size);
void	shadow_fini(struct shadow *);
/* => copy of a model whose threads stand still */
int	shadow_copy(struct shadow *dst, const struct shadow *src);
/* => the range reads as zero now */
void	shadow_zero(struct shadow *, uint64_t va, uint64_t len);

static inline uint64_t *
shadow_word(const struct shadow *sh, uint64_t va)
{
	return &sh->sh_words[(va - sh->sh_base) / 8];
}

/*
 * A coherent region of co_npages pages: writer w owns one word of each page.
 */
struct coherent {
	uint64_t  co_object;		/* stable: id that goes into the stamps */
	uint64_t  co_npages;		/* stable */
	unsigned  co_nwriters;		/* stable, 1 to STAMP_WRITERS */
	bool	  co_file;		/* stable: unwritten words are STAMP_NOBODY's, else 0 */
	uint32_t *co_floor;		/* [page][writer]: newest store completed or seen; atomic */
};

int	coherent_init(struct coherent *, uint64_t object, uint64_t npages, unsigned nwriters,
	    bool file);
void	coherent_fini(struct coherent *);
/* => word number, in the object, of writer's word in that page */
uint64_t coherent_word(const struct coherent *, uint64_t page, unsigned writer);
/* => acquire; what a load that starts now must at least return */
uint32_t coherent_floor(const struct coherent *, uint64_t page, unsigned writer);
/* => release; a store is complete, or was seen */
void	coherent_raise(struct coherent *, uint64_t page, unsigned writer, uint32_t seq);
/*
 * Judge a value that was read after floor had been taken.
 * => 0 and *seq, or a sentence that says what is wrong with it
 */
const char *coherent_judge(const struct coherent *, uint64_t page, unsigned writer,
	    uint64_t value, uint32_t floor, uint32_t *seq);

/* => an unlinked host file full of STAMP_NOBODY stamps of that object; fd, or -errno */
int	content_file_create(uint64_t object, uint64_t size);
/* => the same, of zeroes */
int	content_zero_file(uint64_t size);
/* => the value of a word of such a file; the last partial word is as in the file, zero beyond */
uint64_t content_file_word(uint64_t object, uint64_t word, uint64_t size);

#endif /* HARNESS_CONTENT_H */
