/*
 * Which file an address of code lies in.
 *
 * The dynamic linker is asked once for each file; what it says is kept, for as long as the
 * process lives, because reports point to it.
 */
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host/host.h>

/* k: known_lock; the rest is stable once the module is in the list */
struct known {
	uintptr_t kn_start, kn_end, kn_bias;
	char *kn_path, *kn_build_id;
	struct known *kn_next;		/* k */
};

static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *known;		/* k */

/* => "0123abcd...", or NULL */
static char *
build_id(const struct dl_phdr_info *info, const ElfW(Phdr) *ph)
{
	const char *p = (const char *)(info->dlpi_addr + ph->p_vaddr), *end = p + ph->p_memsz;

	while ((size_t)(end - p) > sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)p;
		const char *name = p + sizeof(*note);
		const unsigned char *desc = (const void *)(name + (note->n_namesz + 3) / 4 * 4);
		char *hex;

		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(name, "GNU", 4) == 0) {
			hex = calloc(note->n_descsz + 1, 2);
			for (unsigned i = 0; hex != NULL && i < note->n_descsz; i++)
				snprintf(hex + i * 2, 3, "%02x", desc[i]);
			return hex;
		}
		p = (const char *)desc + (note->n_descsz + 3) / 4 * 4;
	}
	return NULL;
}

static char *
path_of(const struct dl_phdr_info *info)
{
	char self[PATH_MAX];
	ssize_t n;

	if (info->dlpi_name != NULL && *info->dlpi_name != '\0')
		return strdup(info->dlpi_name);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);	/* the program itself */
	if (n < 0)
		return strdup("/proc/self/exe");
	self[n] = '\0';
	return strdup(self);
}

struct search {
	uintptr_t se_pc;
	struct known *se_found;
};

static int
look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *se = arg;
	const ElfW(Phdr) *hit = NULL;
	struct known *kn;
	char *id = NULL;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && se->se_pc - info->dlpi_addr - ph->p_vaddr < ph->p_memsz)
			hit = ph;
	}
	if (hit == NULL)
		return 0;
	if ((kn = calloc(1, sizeof(*kn))) == NULL)
		return 1;
	for (int i = 0; i < info->dlpi_phnum && id == NULL; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			id = build_id(info, &info->dlpi_phdr[i]);
	kn->kn_bias = info->dlpi_addr;
	kn->kn_start = info->dlpi_addr + hit->p_vaddr;
	kn->kn_end = kn->kn_start + hit->p_memsz;
	kn->kn_path = path_of(info);
	kn->kn_build_id = id;
	se->se_found = kn;
	return 1;
}

bool
host_module(const void *pc, struct host_module *hm)
{
	struct search se = { .se_pc = (uintptr_t)pc };

	pthread_mutex_lock(&known_lock);
	for (se.se_found = known; se.se_found != NULL; se.se_found = se.se_found->kn_next)
		if (se.se_pc >= se.se_found->kn_start && se.se_pc < se.se_found->kn_end)
			break;
	if (se.se_found == NULL && dl_iterate_phdr(look, &se) != 0 && se.se_found != NULL) {
		se.se_found->kn_next = known;
		known = se.se_found;
	}
	pthread_mutex_unlock(&known_lock);
	if (se.se_found == NULL || se.se_found->kn_path == NULL)
		return false;
	hm->hm_path = se.se_found->kn_path;
	hm->hm_build_id = se.se_found->kn_build_id;
	hm->hm_offset = se.se_pc - se.se_found->kn_bias;
	return true;
}
