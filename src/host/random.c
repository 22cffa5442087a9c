/* Random numbers: xoshiro256**, seeded by splitmix64 (Blackman and Vigna, 2018). */
#include <sys/random.h>

#include <host/host.h>

static uint64_t
splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void
host_rng_init(struct host_rng *r, uint64_t seed, uint64_t stream)
{
	uint64_t state = seed;

	state = splitmix(&state) ^ stream * 0xd1342543de82ef95ULL;
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&state);
}

static uint64_t
rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t
host_rng_next(struct host_rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

/* The high half of a 128-bit product: bias below n / 2^64, no division (Lemire). */
uint64_t
host_rng_below(struct host_rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)host_rng_next(r) * n >> 64);
}

bool
host_rng_chance(struct host_rng *r, double p)
{
	return (double)(host_rng_next(r) >> 11) * 0x1p-53 < p;
}

uint64_t
host_rng_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = host_now_ns();
	return seed >> 16;		/* short enough to type */
}
