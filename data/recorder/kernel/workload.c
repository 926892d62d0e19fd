/* The one process of a guest: replays a page-access trace under a memory limit and reports what the kernel did.
 *
 *     workload replay    fill every page in order, make the accesses of /trace, note the outcome of each
 *     workload calib     store pages of one content class at a time, to see what they become
 *
 * Settings come from the environment (init exports them). The report goes to the raw disk $REPORT: a first block
 * with the magic and the lengths in bytes of text and codes, then the text, then, from the next block on, the codes,
 * four accesses a byte, lowest bits first. In the text, "row KIND" begins a snapshot, "name value" is one counter
 * of it, under the name of its column; folder.py reads it.
 *
 * What this process needs itself is in memory and locked before it joins the limited group, and so charged outside.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define CLASSES 8
#define CODES 4
#define BUCKETS 40
#define WRITE_BIT 31
#define CALIB_PAGES 4096UL
#define ROOT_GROUP "/sys/fs/cgroup"
#define TEXT_MOST (4UL << 20) /* some 400 snapshots */

typedef unsigned long long ull;

static char text[TEXT_MOST];
static size_t n_text;
static char line_buffer[1 << 16];
static DIR *pool_dir;
static int pagemap;

static int n_classes;
static unsigned percent[CLASSES], n_random[CLASSES];
static uint64_t seed_class, seed_content;

static uint64_t n_pages, n_acc;
static uint32_t *trace;
static unsigned char *code, *class_of_page;
static uint64_t *expected; /* first word of each page */

static struct {
	ull reads, writes, n[CODES], ns[CODES], of_class[CODES][CLASSES], bucket[CODES][BUCKETS];
} done;

static void die(const char *what)
{
	fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t number(const char *name)
{
	const char *value = getenv(name);
	if (!value || !*value) {
		errno = EINVAL;
		die(name);
	}
	return strtoull(value, NULL, 10);
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64, as vswaplab/truth/traces.py has it */
static uint64_t mix(uint64_t x)
{
	x += 0x9E3779B97F4A7C15;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
	x = (x ^ x >> 27) * 0x94D049BB133111EB;
	return x ^ x >> 31;
}

/* ---- the report ------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list values;
	va_start(values, format);
	n_text += (size_t)vsnprintf(text + n_text, TEXT_MOST - n_text, format, values);
	va_end(values);
	if (n_text >= TEXT_MOST) {
		errno = ENOSPC;
		die("report");
	}
}

static char *contents(int dir, const char *path)
{
	int file = openat(dir, path, O_RDONLY);
	size_t n = 0;
	ssize_t got;
	if (file < 0)
		return NULL;
	while ((got = read(file, line_buffer + n, sizeof line_buffer - 1 - n)) > 0)
		n += (size_t)got;
	close(file);
	line_buffer[n] = 0;
	return line_buffer;
}

/* a file of one line */
static void say_file(const char *name, int dir, const char *path)
{
	char *line = contents(dir, path);
	if (line)
		say("%s %.*s\n", name, (int)strcspn(line, "\n"), line);
}

/* a file of lines "name value" or "name: value kB" */
static void say_lines(const char *prefix, const char *suffix, const char *path)
{
	char *line = contents(AT_FDCWD, path), *rest = line, name[64];
	ull value;
	while (line && (line = strsep(&rest, "\n")))
		if (sscanf(line, "%63[^: ]%*[: ]%llu", name, &value) == 2)
			say("%s%s%s %llu\n", prefix, name, suffix, value);
}

/* a directory of files of one line */
static void say_directory(const char *prefix, DIR *dir)
{
	char name[300];
	struct dirent *entry;
	if (!dir)
		return;
	rewinddir(dir);
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.') {
			snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
			say_file(name, dirfd(dir), entry->d_name);
		}
}

static void say_settings(void)
{
	struct utsname kernel;
	DIR *dir = opendir("/sys/module/zswap/parameters");
	uname(&kernel);
	say("row settings\nkernel %s\n", kernel.release);
	say_directory("zswap_", dir);
	say_file("swappiness", AT_FDCWD, "/proc/sys/vm/swappiness");
	say_file("page_cluster", AT_FDCWD, "/proc/sys/vm/page-cluster");
	say_file("lru_gen", AT_FDCWD, "/sys/kernel/mm/lru_gen/enabled");
	closedir(dir);
}

static void say_group(const char *group)
{
	static const char *const one[] = { "memory.current", "memory.zswap.current", "memory.swap.current" };
	static const char *const column[] = { "cg_memory_current", "cg_zswap_current", "cg_swap_current" };
	char path[256];
	if (!*group)
		return;
	snprintf(path, sizeof path, "%s/memory.stat", group);
	say_lines("cg_", "", path);
	snprintf(path, sizeof path, "%s/memory.events", group);
	say_lines("cg_ev_", "", path);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", group, one[i]);
		say_file(column[i], AT_FDCWD, path);
	}
}

static void say_counters(const char *group)
{
	say_lines("vm_", "", "/proc/vmstat");
	say_lines("mi_", "_kb", "/proc/meminfo");
	say_directory("zs_", pool_dir);
	say_group(group);
}

static void say_done(void)
{
	say("reads %llu\nwrites %llu\n", done.reads, done.writes);
	for (int c = 0; c < CODES; c++) {
		say("code%d %llu\nns_code%d %llu\n", c, done.n[c], c, done.ns[c]);
		for (int k = 0; k < n_classes; k++)
			say("code%d_c%d %llu\n", c, k, done.of_class[c][k]);
	}
}

/* pages mapped and pages with a swap entry, by class */
static void say_presence(const unsigned char *region)
{
	static uint64_t entry[512];
	ull present[CLASSES] = { 0 }, swapped[CLASSES] = { 0 };
	for (uint64_t page = 0; page < n_pages; page++) {
		off_t at = (off_t)(((uintptr_t)region / PAGE + page) * sizeof *entry);
		if (page % 512 == 0 && pread(pagemap, entry, sizeof entry, at) < (ssize_t)sizeof *entry)
			die("pagemap");
		present[class_of_page[page]] += entry[page % 512] >> 63;
		swapped[class_of_page[page]] += entry[page % 512] >> 62 & 1;
	}
	for (int k = 0; k < n_classes; k++)
		say("present_c%d %llu\nswapped_c%d %llu\n", k, present[k], k, swapped[k]);
}

static void snapshot(const char *kind, uint64_t access, const unsigned char *region, const char *group)
{
	say("row %s\naccess %llu\nt_ns %llu\n", kind, (ull)access, (ull)now_ns());
	if (access)
		say_done();
	say_counters(group);
	if (strcmp(kind, "start"))
		say_presence(region);
}

static void put(int file, const void *from, size_t n, off_t at)
{
	while (n) {
		ssize_t put = pwrite(file, from, n, at);
		if (put <= 0)
			die("cannot write the report");
		from = (const char *)from + put;
		at += put;
		n -= (size_t)put;
	}
}

static void save(size_t n_codes)
{
	uint64_t head[3] = { 0, n_text, n_codes };
	int file = open(getenv("REPORT"), O_WRONLY);
	if (file < 0)
		die("REPORT");
	memcpy(head, "VSWREPT1", 8);
	put(file, text, n_text, PAGE);
	put(file, code, n_codes, (off_t)(PAGE + (n_text + PAGE - 1) / PAGE * PAGE));
	put(file, head, sizeof head, 0);
	if (fsync(file))
		die("fsync");
}

/* ---- the pages ------------------------------------------------------------------------------- */

static void read_mix(void)
{
	char *all = strdup(getenv("MIX")), *one;
	while ((one = strsep(&all, ",")))
		if (n_classes == CLASSES || sscanf(one, "%u:%u", &percent[n_classes], &n_random[n_classes]) != 2)
			die("MIX");
		else
			n_classes++;
}

static int draw_class(uint64_t page)
{
	unsigned drawn = (unsigned)(mix(seed_class + page) % 100), upto = percent[0];
	int k = 0;
	while (drawn >= upto && k < n_classes - 1)
		upto += percent[++k];
	return k;
}

/* random bytes (xorshift64), then the zeros that are there; a zero page is written to as well */
static void fill(unsigned char *page, uint64_t number_of_page, unsigned n)
{
	volatile uint64_t *word = (volatile uint64_t *)page;
	uint64_t x = mix(seed_content + number_of_page) | 1;
	*word = 0;
	for (unsigned i = 0; i < n / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		word[i] = x;
	}
}

static void *memory(size_t n)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (at == MAP_FAILED)
		die("mmap");
	return at;
}

static void join(const char *group)
{
	char path[256];
	snprintf(path, sizeof path, "%s/cgroup.procs", group);
	int file = open(path, O_WRONLY);
	if (file < 0 || write(file, "0", 1) != 1)
		die(path);
	close(file);
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void prepare(void)
{
	n_pages = number("N_PAGES");
	n_acc = number("N_ACC");
	trace = memory(n_acc * sizeof *trace);
	code = memory(n_acc / 4 + 1);
	class_of_page = memory(n_pages);
	expected = memory(n_pages * sizeof *expected);
	for (uint64_t page = 0; page < n_pages; page++)
		class_of_page[page] = (unsigned char)draw_class(page);
	int file = open("/trace", O_RDONLY);
	for (size_t n = 0, want = n_acc * sizeof *trace; n < want;) {
		ssize_t got = read(file, (char *)trace + n, want - n);
		if (got <= 0)
			die("/trace");
		n += (size_t)got;
	}
	close(file);
	unlink("/trace"); /* the root file system is memory */
}

static int outcome(const struct rusage *before, const struct rusage *after)
{
	if (after->ru_majflt != before->ru_majflt)
		return after->ru_inblock != before->ru_inblock ? 3 : 2;
	return after->ru_minflt != before->ru_minflt;
}

static void touch(unsigned char *region, uint64_t i)
{
	uint32_t page = trace[i] & ((1U << WRITE_BIT) - 1);
	volatile uint64_t *word = (volatile uint64_t *)(region + page * PAGE);
	if (trace[i] >> WRITE_BIT) { /* random words stay random, zeros stay zeros */
		*word = expected[page] = n_random[class_of_page[page]] ? mix(i ^ (uint64_t)page << 32) : 0;
		done.writes++;
	} else {
		(void)*word;
		done.reads++;
	}
}

static void count(uint64_t i, int c, uint64_t ns)
{
	int bucket = ns ? 63 - __builtin_clzll(ns) : 0;
	code[i / 4] |= (unsigned char)(c << i % 4 * 2);
	done.n[c]++;
	done.ns[c] += ns;
	done.of_class[c][class_of_page[trace[i] & ((1U << WRITE_BIT) - 1)]]++;
	done.bucket[c][bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void make_accesses(unsigned char *region, const char *group)
{
	uint64_t epoch = number("EPOCH");
	struct rusage before, after;
	getrusage(RUSAGE_THREAD, &before);
	for (uint64_t i = 0; i < n_acc; i++) {
		uint64_t start = now_ns();
		touch(region, i);
		uint64_t ns = now_ns() - start;
		getrusage(RUSAGE_THREAD, &after);
		count(i, outcome(&before, &after), ns);
		before = after;
		if ((i + 1) % epoch == 0 || i + 1 == n_acc) {
			snapshot("epoch", i + 1, region, group);
			getrusage(RUSAGE_THREAD, &before);
		}
	}
}

static void say_end(const unsigned char *region)
{
	ull wrong = 0;
	for (uint64_t page = 0; page < n_pages; page++)
		wrong += *(volatile const uint64_t *)(region + page * PAGE) != expected[page];
	say("row end\nwrong_pages %llu\n", wrong);
	for (int c = 0; c < CODES; c++)
		for (int b = 0; b < BUCKETS; b++)
			if (done.bucket[c][b])
				say("hist_%d_%d %llu\n", c, b, done.bucket[c][b]);
}

static void replay(void)
{
	const char *group = getenv("GROUP");
	prepare();
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	if (*group)
		join(group);
	unsigned char *region = memory(n_pages * PAGE);
	snapshot("start", 0, region, group);
	for (uint64_t page = 0; page < n_pages; page++) {
		fill(region + page * PAGE, page, n_random[class_of_page[page]]);
		expected[page] = *(volatile uint64_t *)(region + page * PAGE);
	}
	snapshot("fill", 0, region, group);
	make_accesses(region, group);
	sleep(1);
	snapshot("settle", n_acc, region, group);
	say_end(region);
	save((n_acc + 3) / 4);
}

/* ---- calib ----------------------------------------------------------------------------------- */

static void store_class(int k)
{
	char group[64];
	unsigned char *region = memory(CALIB_PAGES * PAGE);
	snprintf(group, sizeof group, ROOT_GROUP "/class%d", k);
	if (mkdir(group, 0755))
		die(group);
	join(group);
	say("row before\n");
	say_counters(group);
	for (uint64_t page = 0; page < CALIB_PAGES; page++)
		fill(region + page * PAGE, page, n_random[k]);
	if (madvise(region, CALIB_PAGES * PAGE, MADV_PAGEOUT))
		die("MADV_PAGEOUT");
	usleep(300000);
	say("row after\n");
	say_counters(group);
	join(ROOT_GROUP);
	munmap(region, CALIB_PAGES * PAGE);
	usleep(100000);
}

int main(int argc, char **argv)
{
	pool_dir = opendir("/sys/kernel/debug/zswap");
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	seed_class = number("SEED_CLASS");
	seed_content = number("SEED_CONTENT");
	read_mix();
	say_settings();
	if (argc > 1 && !strcmp(argv[1], "replay")) {
		replay();
		return 0;
	}
	for (int k = 0; k < n_classes; k++)
		store_class(k);
	save(0);
	return 0;
}
