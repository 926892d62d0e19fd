/*
 * plugin.c: a TCG plugin for qemu-x86_64 (linux-user) that records a program's touches of its own
 * anonymous memory, reduced by reduce.h, and copies out the contents of its pages at chosen moments.
 * It follows fork: every process of the family records.
 *
 *   qemu-x86_64 -plugin plugin.so,out=FILE,k=N[,kmin=N][,children=0][,control=FILE][,records=N][,pages=N]
 *       [,dump=PREFIX,stride=N|sample=N,moments=A:B:C,final=1] PROGRAM ...
 *
 * FILE gets records (uint64 time, four uint32: page, op, repeat_reads, repeat_writes), FILE.1 to FILE.7
 * those of the children in order of fork; FILE.json gets the totals of all. Marks stand between the
 * records: op 3, a fork (page: number of the child); 4, the end of the process; 5, contents were copied
 * out (page: number of the moment); 6, the recording of the process was stopped. A page that was live at a fork has one number in parent and child;
 * any other number means pages of their own. family.py makes one stream of the files.
 * PREFIX.0, PREFIX.1, ... get, once A, B, ... records are out, every live page whose address is a
 * multiple of `stride` pages: uint64 page number, uint64 guest address / 4096, 4096 bytes. With `sample`
 * the stride is the power of two that leaves at most so many pages; with `final` there is a last dump at the end.
 *
 * k: see reduce.h. With `kmin` blocks begin that small and grow to a sixteenth of the live pages, at most k.
 * `children=0`: what forks off is not recorded, and no fork is marked. `control` is a file of zeros, a page
 * long, for the shared state: who writes 1 to its first word stops the recording and the program, whatever it
 * waits for; so do `records` kept and `pages` seen. Totals are of what was seen until then.
 *
 * Which pages count: private anonymous mappings, the brk heap, bss, stack, and pages of private file
 * mappings from their first write on (copy on write makes them anonymous). Shared and read-only file
 * pages do not. munmap, MADV_DONTNEED, MADV_FREE, a falling brk and MAP_FIXED over old pages free
 * them. mremap takes page numbers along to the new address. What read- and write-like system calls
 * do to their buffers is added as one touch per page, because the kernel does touch those pages.
 *
 * Time is a counter of touches in memory that the processes share; a lock there puts their touches in
 * one order. vfork is a fork to the emulator. After exec the emulator is gone: that is an end, too. With
 * `emulator` and `self`, the paths of qemu and of this plugin, an exec of an x86-64 program goes on in an emulator of
 * its own: the process keeps its number, its records go on in FILE.N.G, G being 1, 2, ..., its pages count from 0.
 */
#define _GNU_SOURCE
#include "reduce.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* The part of the plugin interface, version 1, that is used here. Debian ships no header for it. */
typedef uint64_t plugin_id;
typedef uint32_t mem_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { CB_NO_REGS = 0, MEM_RW = 3 };
extern void qemu_plugin_register_vcpu_init_cb(plugin_id, void (*)(plugin_id, unsigned));
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id,
                                                  void (*)(plugin_id, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
                                             void (*)(unsigned, mem_info, uint64_t, void *), int,
                                             int, void *);
extern bool qemu_plugin_mem_is_store(mem_info);
extern unsigned qemu_plugin_mem_size_shift(mem_info);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id,
                                                 void (*)(plugin_id, unsigned, int64_t, uint64_t,
                                                          uint64_t, uint64_t, uint64_t, uint64_t,
                                                          uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_vcpu_syscall_ret_cb(plugin_id, void (*)(plugin_id, unsigned,
                                                                         int64_t, int64_t));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern uintptr_t guest_base; /* host address = guest address + guest_base */
EXPORT int qemu_plugin_version = 1;

enum { PAGE_SHIFT = 12, PAGE = 1 << PAGE_SHIFT, LEAF_SHIFT = 18, MAX_CPUS = 256, MAX_MOMENTS = 16 };
enum { MAX_CHILDREN = 7, SPINS = 200 };
enum { MARK_FORK = 3, MARK_END = 4, MARK_MOMENT = 5, MARK_CUT = 6 };
enum { TICK_US = 20000 };
/* Page table entry: two bits of kind, then page number + 1 (0: never touched). */
enum { KIND_OTHER = 0, KIND_ANON = 1, KIND_COW = 2, KIND_MASK = 3, KIND_BITS = 2 };
enum { TOP_SIZE = 1 << (47 - PAGE_SHIFT - LEAF_SHIFT), LEAF_SIZE = 1 << LEAF_SHIFT };

/* One for all processes, in shared memory. The recorder's Python reads the first words: CONTROL in run.py. */
typedef struct {
    uint32_t stop, n_ended, k_most, n_dumps;
    uint64_t n_pages;
    red_family reduce;
    int lock;
    uint32_t n_running, n_children;
    uint64_t n_before_fork; /* records before the first fork */
} shared_state;

static shared_state *shared;
static uint32_t me, next_child; /* 0, or the number of the child; that of the child being made */
static uint32_t generation;     /* how often this process has become another program */
static char *options;           /* all of them but process and generation */
static const char *emulator, *self;
static uint32_t *top[TOP_SIZE];
static uint64_t *address_of; /* page number -> guest address / PAGE */
static size_t address_room;
static red_state reducer;
static FILE *out;
static const char *out_path, *dump_prefix, *control_path;
static uint64_t stride = 1, sample, moments[MAX_MOMENTS], n_moments, next_moment;
static uint64_t max_records = UINT64_MAX, max_pages = UINT64_MAX;
static uint32_t k_least, k_most = 64;
static bool follow_children = true, final_dump, silent;
static int inside; /* the lone thread works on the reducer without the lock */
static uint64_t brk_start, brk_now;
static bool many_threads;
static unsigned n_threads;
static uint64_t syscall_args[MAX_CPUS][6];

/* ---- the lock and the marks ------------------------------------------------------------------ */

/* A spinning lock, for it is held for a few instructions and may be taken for every touch. */
static void take_lock(void)
{
    for (unsigned i = 1; __atomic_exchange_n(&shared->lock, 1, __ATOMIC_ACQUIRE); i++)
        if (i % SPINS == 0)
            sched_yield();
        else
            __builtin_ia32_pause();
}

static void drop_lock(void)
{
    __atomic_store_n(&shared->lock, 0, __ATOMIC_RELEASE);
}

/* Whether the lock was needed and taken. A lone thread of a lone process needs none, but says that it is
 * inside: see stop_recording. */
static inline bool enter(void)
{
    __atomic_store_n(&inside, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bool needed = __atomic_load_n(&many_threads, __ATOMIC_RELAXED)
                  || __atomic_load_n(&shared->n_running, __ATOMIC_ACQUIRE) > 1;
    if (needed) {
        __atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
        take_lock();
    }
    return needed;
}

static inline void leave(bool locked)
{
    if (locked)
        drop_lock();
    else
        __atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
}

static void mark(uint32_t what, uint32_t number)
{
    red_record record = {++shared->reduce.clock, number, what, 0, 0};
    shared->reduce.n_marks++;
    if (out)
        fwrite(&record, sizeof record, 1, out);
}

/* ---- the guest's page table ------------------------------------------------------------------ */

static uint32_t *entry_of(uint64_t page, bool make)
{
    uint64_t index = page >> LEAF_SHIFT;
    if (index >= TOP_SIZE)
        return NULL;
    if (!top[index]) {
        if (!make)
            return NULL;
        top[index] = red_need(calloc(LEAF_SIZE, sizeof(uint32_t)));
    }
    return &top[index][page & (LEAF_SIZE - 1)];
}

/* Calls visit on every page of a range whose part of the table exists. */
static void each_page(uint64_t start, uint64_t end, void (*visit)(uint32_t *, uint64_t, int), int arg,
                      bool make)
{
    for (uint64_t page = start; page < end;) {
        uint32_t *entry = entry_of(page, make);
        if (!entry) {
            page = ((page >> LEAF_SHIFT) + 1) << LEAF_SHIFT;
            if (page >> LEAF_SHIFT > TOP_SIZE)
                return;
            continue;
        }
        visit(entry, page++, arg);
    }
}

static void free_entry(uint32_t *entry, uint64_t page, int unused)
{
    (void)page, (void)unused;
    uint32_t number = *entry >> KIND_BITS;
    if (number)
        red_free(&reducer, number - 1);
}

static void set_kind(uint32_t *entry, uint64_t page, int kind)
{
    (void)page;
    *entry = (*entry & ~(uint32_t)KIND_MASK) | (uint32_t)kind;
}

static uint64_t pages_up(uint64_t bytes)
{
    return (bytes + PAGE - 1) >> PAGE_SHIFT;
}

static void free_range(uint64_t address, uint64_t bytes)
{
    each_page(address >> PAGE_SHIFT, pages_up(address + bytes), free_entry, 0, false);
}

static void map_range(uint64_t address, uint64_t bytes, int kind)
{
    each_page(address >> PAGE_SHIFT, pages_up(address + bytes), set_kind, kind, kind != KIND_OTHER);
}

static void unmap_range(uint64_t address, uint64_t bytes)
{
    free_range(address, bytes);
    map_range(address, bytes, KIND_OTHER);
}

static void give_number(uint32_t *entry, uint64_t page)
{
    uint32_t number = red_new_page(&reducer);
    if (number == address_room) {
        address_room = address_room ? 2 * address_room : 4096;
        address_of = red_need(realloc(address_of, address_room * sizeof *address_of));
    }
    address_of[number] = page;
    if (__atomic_add_fetch(&shared->n_pages, 1, __ATOMIC_RELAXED) >= max_pages)
        shared->stop = 1;
    *entry = (*entry & KIND_MASK) | (number + 1) << KIND_BITS;
}

/* ---- touches --------------------------------------------------------------------------------- */

static inline void touch(uint64_t page, int op)
{
    uint32_t *leaf = page >> LEAF_SHIFT < TOP_SIZE ? top[page >> LEAF_SHIFT] : NULL;
    if (!leaf)
        return;
    uint32_t *entry = &leaf[page & (LEAF_SIZE - 1)];
    int kind = *entry & KIND_MASK;
    if (kind == KIND_OTHER || (kind == KIND_COW && !op))
        return;
    if (kind == KIND_COW)
        set_kind(entry, page, KIND_ANON);
    if (*entry < 1 << KIND_BITS)
        give_number(entry, page);
    red_touch(&reducer, (*entry >> KIND_BITS) - 1, op);
}

static void on_memory(unsigned cpu, mem_info info, uint64_t address, void *unused)
{
    (void)cpu, (void)unused;
    if (silent)
        return;
    int op = qemu_plugin_mem_is_store(info) ? RED_WRITE : RED_READ;
    uint64_t first = address >> PAGE_SHIFT;
    uint64_t last = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) >> PAGE_SHIFT;
    bool locked = enter();
    touch(first, op);
    if (last != first)
        touch(last, op);
    leave(locked);
}

static void touch_buffer(uint64_t address, uint64_t bytes, int op)
{
    if (bytes)
        for (uint64_t page = address >> PAGE_SHIFT; page < pages_up(address + bytes); page++)
            touch(page, op);
}

static void touch_vector(uint64_t address, uint64_t count, uint64_t bytes, int op)
{
    const struct iovec *parts = (const void *)(address + guest_base);
    for (uint64_t i = 0; i < count && bytes; i++) {
        uint64_t part = parts[i].iov_len < bytes ? parts[i].iov_len : bytes;
        touch_buffer((uint64_t)parts[i].iov_base, part, op);
        bytes -= part;
    }
}

/* ---- system calls ---------------------------------------------------------------------------- */

static void on_mmap(uint64_t address, uint64_t bytes, uint64_t flags)
{
    int kind = KIND_OTHER;
    if ((flags & MAP_TYPE) == MAP_PRIVATE)
        kind = flags & MAP_ANONYMOUS ? KIND_ANON : KIND_COW;
    unmap_range(address, bytes);
    map_range(address, bytes, kind);
}

static void on_brk(uint64_t end)
{
    uint64_t now = pages_up(brk_now), new = pages_up(end);
    if (!brk_start)
        brk_start = end;
    else if (new > now)
        map_range(now << PAGE_SHIFT, (new - now) << PAGE_SHIFT, KIND_ANON);
    else if (new < now)
        unmap_range(new << PAGE_SHIFT, (now - new) << PAGE_SHIFT);
    brk_now = end;
}

static void move_entry(uint64_t from, uint64_t to, int kind)
{
    uint32_t *old = entry_of(from, true), *new = entry_of(to, true);
    uint32_t number = *old >> KIND_BITS;
    set_kind(new, to, *old & KIND_MASK ? (int)(*old & KIND_MASK) : kind);
    if (!number || !reducer.pages[number - 1].live)
        return;
    *new = (*new & KIND_MASK) | number << KIND_BITS;
    address_of[number - 1] = to;
    *old = KIND_OTHER;
}

/* The pages keep their numbers, whatever their address: it is the same memory. */
static void on_mremap(uint64_t old, uint64_t old_bytes, uint64_t new_bytes, uint64_t new)
{
    uint64_t both = pages_up(old_bytes < new_bytes ? old_bytes : new_bytes);
    uint32_t *first = entry_of(old >> PAGE_SHIFT, true);
    int kind = *first & KIND_MASK;
    if (new != old) {
        unmap_range(new, new_bytes);
        for (uint64_t i = 0; i < both; i++)
            move_entry((old >> PAGE_SHIFT) + i, (new >> PAGE_SHIFT) + i, kind);
        unmap_range(old, old_bytes);
    } else if (old_bytes > new_bytes) {
        unmap_range(old + (both << PAGE_SHIFT), old_bytes - new_bytes);
    }
    if (new_bytes > old_bytes)
        map_range(new + (both << PAGE_SHIFT), new_bytes - (both << PAGE_SHIFT), kind);
}

static bool is_exec(int64_t number)
{
    return number == SYS_execve || number == SYS_execveat;
}

/* The emulator may be gone after this; if not, another mark follows, and the last one counts. */
static void end_records(uint32_t how)
{
    red_end_block(&reducer);
    mark(how, me);
    if (out)
        fflush(out);
    __atomic_sub_fetch(&shared->n_running, 1, __ATOMIC_ACQ_REL);
}

/* ---- exec ------------------------------------------------------------------------------------ */

enum { MAX_STRINGS = 1 << 16, MAX_INTERPRETERS = 4, HEAD = 256 };

/* A guest's array of strings, with room for `more` in front. */
static char **strings_at(uint64_t address, size_t more)
{
    const uint64_t *from = (const void *)(address + guest_base);
    size_t n = 0;
    while (address && from[n] && n < MAX_STRINGS)
        n++;
    char **all = red_need(calloc(more + n + 1, sizeof *all));
    for (size_t i = 0; i < n; i++)
        all[more + i] = (char *)(from[i] + guest_base);
    return all;
}

/* The first bytes of a program that may be executed, as a string; false: the kernel will say what is wrong. */
static bool read_head(const char *path, char head[HEAD])
{
    int file = access(path, X_OK) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    memset(head, 0, HEAD);
    bool is_read = file >= 0 && read(file, head, HEAD - 1) > 0;
    if (file >= 0)
        close(file);
    return is_read;
}

static bool is_x86_64(const char head[HEAD])
{
    return !memcmp(head, "\177ELF\2\1", 6) && head[18] == 62 && !head[19];
}

/* The path of a program that is named from an open folder, or by its open file alone (fexecve); NULL if it
 * has none, as one that is only in memory. */
static char *path_from(int folder, const char *name, uint64_t flags)
{
    char link[64], *path;
    if (*name == '/' || (folder == AT_FDCWD && *name))
        return strdup(name);
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    if (!*name)
        return flags & AT_EMPTY_PATH ? realpath(link, NULL) : NULL;
    return asprintf(&path, "%s/%s", link, name) < 0 ? NULL : realpath(path, NULL);
}

/* What to execute so that the program goes on under an emulator; NULL if it cannot. A script's
 * interpreters are looked up as the kernel does. What is allocated here is for the program after this one. */
static char **exec_in_emulator(char *target, uint64_t argv)
{
    enum { OURS = 7 };
    char head[HEAD], *plugin;
    size_t front = OURS + 2 * MAX_INTERPRETERS;
    char **all = strings_at(argv, front);
    if (!emulator || !self || !out || !target || !all[front] || !read_head(target, head))
        return NULL;
    char *first = all[front], **words = &all[front];
    for (int i = 0; i < MAX_INTERPRETERS && !memcmp(head, "#!", 2); i++) {
        char *rest = head + 2 + strspn(head + 2, " \t");
        rest[strcspn(rest, "\n")] = 0;
        char *option = rest + strcspn(rest, " \t");
        if (*option)
            *option++ = 0;
        option += strspn(option, " \t");
        *words = target;
        if (*option)
            *--words = strdup(option);
        *--words = first = target = strdup(rest);
        if (!read_head(target, head))
            return NULL;
    }
    if (!is_x86_64(head)
        || asprintf(&plugin, "%s,%s,process=%u,generation=%u", self, options, me, generation + 1) < 0)
        return NULL;
    *words = target;
    char *ours[OURS] = {(char *)emulator, "-0", first, "-cpu", "max", "-plugin", plugin};
    return memcpy(words - OURS, ours, sizeof ours);
}

static void on_syscall(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)a7, (void)a8;
    uint64_t args[6] = {a1, a2, a3, a4, a5, a6};
    if (silent)
        return;
    char **next = NULL;
    if (number == SYS_execve)
        next = exec_in_emulator((char *)(a1 + guest_base), a2);
    else if (number == SYS_execveat)
        next = exec_in_emulator(path_from((int)a1, (char *)(a2 + guest_base), a5), a3);
    bool locked = enter();
    memcpy(syscall_args[cpu % MAX_CPUS], args, sizeof args);
    /* Before the call: afterwards another thread may already own the range. */
    if (number == SYS_munmap)
        unmap_range(a1, a2);
    else if (number == SYS_madvise && (a3 == MADV_DONTNEED || a3 == MADV_FREE))
        free_range(a1, a2);
    else if (is_exec(number))
        end_records(MARK_END);
    if (next) /* what comes next runs, too */
        __atomic_add_fetch(&shared->n_running, 1, __ATOMIC_ACQ_REL);
    leave(locked);
    if (!next)
        return;
    execve(emulator, next, strings_at(number == SYS_execve ? a3 : a4, 0));
    __atomic_sub_fetch(&shared->n_running, 1, __ATOMIC_ACQ_REL);
}

static void after_syscall(int64_t number, const uint64_t *a, int64_t result)
{
    switch (number) {
    case SYS_mmap:
        on_mmap((uint64_t)result, a[1], a[3]);
        break;
    case SYS_brk:
        on_brk((uint64_t)result);
        break;
    case SYS_mremap:
        on_mremap(a[0], a[1], a[2], (uint64_t)result);
        break;
    case SYS_read: case SYS_pread64: case SYS_recvfrom: case SYS_getrandom:
        touch_buffer(a[number != SYS_getrandom], (uint64_t)result, RED_WRITE);
        break;
    case SYS_write: case SYS_pwrite64: case SYS_sendto:
        touch_buffer(a[1], (uint64_t)result, RED_READ);
        break;
    case SYS_readv: case SYS_preadv:
        touch_vector(a[1], a[2], (uint64_t)result, RED_WRITE);
        break;
    case SYS_writev: case SYS_pwritev:
        touch_vector(a[1], a[2], (uint64_t)result, RED_READ);
        break;
    }
}

static void on_syscall_return(plugin_id id, unsigned cpu, int64_t number, int64_t result)
{
    (void)id;
    if (silent)
        return;
    if (is_exec(number)) /* it returns only if it failed */
        __atomic_add_fetch(&shared->n_running, 1, __ATOMIC_ACQ_REL);
    if (result < 0 && result > -4096)
        return;
    bool locked = enter();
    after_syscall(number, syscall_args[cpu % MAX_CPUS], result);
    leave(locked);
}

/* ---- contents -------------------------------------------------------------------------------- */

static void dump_page(FILE *file, int memory, uint64_t number)
{
    uint64_t head[2] = {number, address_of[number]};
    char bytes[PAGE];
    /* A page the guest has made inaccessible can still be read this way. */
    if (pread(memory, bytes, PAGE, (off_t)((head[1] << PAGE_SHIFT) + guest_base)) != PAGE)
        return;
    fwrite(head, sizeof head, 1, file);
    fwrite(bytes, PAGE, 1, file);
}

static void dump(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.%u", dump_prefix, shared->n_dumps);
    FILE *file = red_need(fopen(path, "wb"));
    int memory = open("/proc/self/mem", O_RDONLY);
    while (sample && reducer.n_live > sample * stride)
        stride *= 2;
    for (uint64_t i = 0; i < reducer.n_pages; i++)
        if (reducer.pages[i].live && address_of[i] % stride == 0)
            dump_page(file, memory, i);
    close(memory);
    fclose(file);
    mark(MARK_MOMENT, shared->n_dumps++);
}

/* Between two blocks. */
static void grow_blocks(void)
{
    uint64_t wanted = reducer.n_live_peak / 16;
    if (!k_least)
        return;
    reducer.k = wanted < k_least ? k_least : wanted > k_most ? k_most : (uint32_t)wanted;
    if (reducer.k > shared->k_most)
        shared->k_most = reducer.k;
}

static void on_records(void *context, const red_record *records, size_t n)
{
    (void)context;
    if (!out)
        return;
    fwrite(records, sizeof *records, n, out);
    if (shared->reduce.n_records >= max_records)
        shared->stop = 1;
    grow_blocks();
    if (next_moment < n_moments && shared->reduce.n_records >= moments[next_moment]) {
        next_moment++;
        dump();
    }
}

/* ---- stop ------------------------------------------------------------------------------------ */

static void write_totals(void);

static void close_records(uint32_t how)
{
    if (!out)
        return;
    red_end_block(&reducer);
    if (final_dump && !me)
        dump();
    end_records(how);
    fclose(out);
    out = NULL;
    if (!me)
        write_totals();
    __atomic_add_fetch(&shared->n_ended, 1, __ATOMIC_ACQ_REL);
}

/* From the watch: no thread is inside without the lock once all take it and none is left that did not. */
static void stop_recording(void)
{
    __atomic_store_n(&many_threads, true, __ATOMIC_SEQ_CST);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    while (__atomic_load_n(&inside, __ATOMIC_ACQUIRE))
        usleep(100);
    take_lock();
    close_records(MARK_CUT);
    drop_lock();
    _exit(0);
}

/* A thread that waits for the order to stop, and lets no record lie in the buffer for long. If the recorder is
 * gone, nobody else will give the order. */
static void *watch(void *unused)
{
    pid_t recorder = me ? 0 : getppid();
    (void)unused;
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        usleep(TICK_US);
        take_lock();
        if (out)
            fflush(out);
        drop_lock();
        if (recorder && getppid() != recorder)
            shared->stop = 1;
    }
    stop_recording();
    return NULL;
}

/* Only if somebody may ask for it. No signal of the program may come to this thread. */
static void start_watch(void)
{
    sigset_t all, before;
    pthread_t thread;
    if (!control_path)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!pthread_create(&thread, NULL, watch, NULL))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void open_records(void)
{
    char path[4096];
    if (generation)
        snprintf(path, sizeof path, "%s.%u.%u", out_path, me, generation);
    else
        snprintf(path, sizeof path, me ? "%s.%u" : "%s", out_path, me);
    out = red_need(fopen(path, "wbe"));
    setvbuf(out, NULL, _IOFBF, 1 << 20);
}

/* The emulator forks with fork(): these three run around it, in parent, parent and child. What the
 * child inherits is a whole state: no block under way, no bytes in the buffer, no thread in the lock.
 */
static void before_fork(void)
{
    if (!follow_children) {
        if (out)
            fflush(out);
        return;
    }
    take_lock();
    red_fork(&reducer);
    if (!shared->n_children++)
        shared->n_before_fork = shared->reduce.n_records;
    shared->n_running++;
    next_child = shared->n_children;
    mark(MARK_FORK, next_child);
    if (out)
        fflush(out);
}

static void after_fork_in_parent(void)
{
    if (follow_children)
        drop_lock();
}

/* The parent drops the lock. A child beyond the last one that has a number records nothing. */
static void after_fork_in_child(void)
{
    if (out)
        fclose(out);
    out = NULL;
    if (!follow_children) {
        silent = true;
        return;
    }
    many_threads = false;
    n_threads = 1;
    n_moments = 0;
    me = next_child;
    generation = 0;
    if (me <= MAX_CHILDREN)
        open_records();
    start_watch();
}

/* ---- start and end --------------------------------------------------------------------------- */

/* What the emulator's loader has set up before the first instruction: bss, stack, file images. */
static void read_first_maps(void)
{
    FILE *maps = red_need(fopen("/proc/self/maps", "r"));
    char line[4096], access[8];
    uint64_t start, end, inode;
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %" SCNu64, &start, &end, access,
                   &inode) != 4)
            continue;
        if (start < guest_base || access[3] != 'p')
            continue;
        map_range(start - guest_base, end - start, inode ? KIND_COW : KIND_ANON);
    }
    fclose(maps);
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    static bool started;
    if (!started) {
        started = true;
        read_first_maps();
        start_watch();
    }
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_memory, CB_NO_REGS, MEM_RW,
                                         NULL);
}

static void on_cpu(plugin_id id, unsigned cpu)
{
    (void)id, (void)cpu;
    many_threads = ++n_threads > 1;
}

static void write_totals(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.json", out_path);
    FILE *totals = red_need(fopen(path, "w"));
    const red_family *all = &shared->reduce;
    fprintf(totals, "{\"n_accesses\": %" PRIu64 ", \"n_records\": %" PRIu64 ", \"n_frees\": %" PRIu64
            ", \"n_pages\": %zu, \"n_peak\": %" PRIu64 ", \"n_threads\": %u, \"n_children\": %u, "
            "\"n_before_fork\": %" PRIu64 ", \"k\": %u}\n", all->clock - all->n_frees - all->n_marks, all->n_records,
            all->n_frees, reducer.n_pages, reducer.n_live_peak, n_threads, shared->n_children,
            shared->n_before_fork, shared->k_most);
    fclose(totals);
}

static void on_exit_of_guest(plugin_id id, void *unused)
{
    (void)id, (void)unused;
    if (silent)
        return;
    take_lock(); /* always: the watch may be at the file */
    close_records(MARK_END);
    drop_lock();
}

static void read_moments(const char *text)
{
    char *rest = (char *)text;
    while (*rest && n_moments < MAX_MOMENTS) {
        moments[n_moments++] = strtoull(rest, &rest, 10);
        rest += *rest == ':';
    }
}

static void read_option(const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (!strcmp(name, "out"))
        out_path = strdup(value);
    else if (!strcmp(name, "dump"))
        dump_prefix = strdup(value);
    else if (!strcmp(name, "control"))
        control_path = strdup(value);
    else if (!strcmp(name, "k"))
        k_most = (uint32_t)number;
    else if (!strcmp(name, "kmin"))
        k_least = (uint32_t)number;
    else if (!strcmp(name, "records"))
        max_records = number;
    else if (!strcmp(name, "pages"))
        max_pages = number;
    else if (!strcmp(name, "children"))
        follow_children = number;
    else if (!strcmp(name, "stride"))
        stride = number;
    else if (!strcmp(name, "sample"))
        sample = number;
    else if (!strcmp(name, "final"))
        final_dump = number;
    else if (!strcmp(name, "moments"))
        read_moments(value);
    else if (!strcmp(name, "emulator"))
        emulator = strdup(value);
    else if (!strcmp(name, "self"))
        self = strdup(value);
    else if (!strcmp(name, "process"))
        me = (uint32_t)number;
    else if (!strcmp(name, "generation"))
        generation = (uint32_t)number;
}

/* For the emulator of the program that this one may become. */
static void keep_options(int argc, char **argv)
{
    size_t room = 1;
    for (int i = 0; i < argc; i++)
        room += strlen(argv[i]) + 1;
    options = red_need(calloc(room, 1));
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "process=", 8) && strncmp(argv[i], "generation=", 11)) {
            strcat(options, *options ? "," : "");
            strcat(options, argv[i]);
        }
}

static bool map_shared(void)
{
    int file = control_path ? open(control_path, O_RDWR) : -1;
    int flags = control_path ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
    if (control_path && file < 0)
        return false;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, flags, file, 0);
    if (file >= 0)
        close(file);
    return shared != MAP_FAILED;
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    keep_options(argc, argv);
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return -1;
        *value = 0;
        read_option(argv[i], value + 1);
    }
    if (!out_path || !k_most || k_least > k_most || !stride || ((n_moments || final_dump) && !dump_prefix))
        return -1;
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    if (!map_shared() || pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child))
        return -1;
    if (!generation)
        shared->n_running = 1;
    while (next_moment < n_moments && shared->reduce.n_records >= moments[next_moment])
        next_moment++;
    open_records();
    red_init(&reducer, &shared->reduce, k_most, on_records, NULL);
    reducer.k = k_least ? k_least : k_most;
    if (reducer.k > shared->k_most)
        shared->k_most = reducer.k;
    qemu_plugin_register_vcpu_init_cb(id, on_cpu);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_syscall_return);
    qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
    return 0;
}
