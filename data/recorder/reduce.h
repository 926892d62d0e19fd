/*
 * reduce.h: cut a stream of page touches down to what an LRU memory can tell apart.
 *
 * The stream is cut into blocks: consecutive touches of at most k distinct pages. Of a page's
 * touches inside one block three are kept, each at its own place in time: the first touch, the
 * first write (if the first touch was a read) and the last touch. Every other touch is dropped and
 * counted in `repeat_reads` or `repeat_writes` of the latest kept record of that page before it.
 * A free ends the block.
 *
 * Processes that came of one another by fork share a clock and their blocks: a block is cut for all
 * of them at once, when they have touched k pages between them (a page touched by two counts twice).
 * Each keeps records of its own; sorted by time they are the records of the family. The first write
 * after a fork may be to a copy: for the reducer it is the first touch of another page.
 *
 * Why this is exact. Inside a block fewer than k other pages are touched, so a page touched in it
 * cannot be among the victims of an LRU memory that keeps more than k pages: dropped touches are
 * hits, and the first write already made the page dirty. Outside its block a page is known by its
 * last touch, which is kept. So victims, misses and dirty bits are the same in both streams while
 * capacity - high >= k. (data/README.md has the argument in full; tests/data has the test.)
 *
 * `k` may change between two blocks, up to what red_init was given: what is exact then is a memory of more
 * pages than the largest k.
 *
 * Used by plugin.c and by the test harness reduce_main.c. Plain C11, no dependency.
 */
#ifndef VSWAPLAB_REDUCE_H
#define VSWAPLAB_REDUCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RED_READ = 0, RED_WRITE = 1, RED_FREE = 2 };

/* One kept touch, as it goes to the file: 24 bytes. */
typedef struct {
    uint64_t time;      /* of the family's clock */
    uint32_t page, op, repeat_reads, repeat_writes;
} red_record;

/* What the processes of a family have in common. */
typedef struct {
    uint64_t clock;     /* touches, frees and marks so far */
    uint64_t block;     /* number of the block, from 1 */
    uint64_t n_records, n_frees, n_marks;
    uint32_t n_in_block;
} red_family;

/* What is known of one page. `block` says whether the rest is about the current block. */
typedef struct {
    uint64_t block;
    uint64_t last_time;
    uint32_t pending[2];  /* reads, writes since the latest kept record */
    uint32_t event;       /* index of the latest kept record in `events` */
    uint8_t written, last_op, live;
    uint8_t may_copy;     /* not written since a fork */
} red_page;

typedef void (*red_sink)(void *context, const red_record *records, size_t n);

typedef struct {
    uint32_t k;
    red_sink sink;
    void *context;
    red_family *family;
    uint64_t block;           /* the family's block that `in_block` and `events` belong to */
    red_page *pages;
    size_t n_pages, room;
    uint64_t n_live, n_live_peak; /* pages touched and not freed since: now, and at most */
    uint32_t *in_block;       /* own pages of the block in order of first touch */
    uint32_t n_in_block;
    red_record *events, *lasts, *out;
    size_t n_events, n_lasts;
} red_state;

static void *red_need(void *memory)
{
    if (!memory) {
        fputs("recorder: out of memory\n", stderr);
        abort();
    }
    return memory;
}

static void red_init(red_state *s, red_family *family, uint32_t k, red_sink sink, void *context)
{
    memset(s, 0, sizeof *s);
    s->k = k;
    s->sink = sink;
    s->context = context;
    s->family = family;
    if (!family->block)
        family->block = 1;
    s->block = family->block;
    s->in_block = red_need(calloc(k, sizeof *s->in_block));
    s->events = red_need(calloc(2 * (size_t)k, sizeof *s->events));
    s->lasts = red_need(calloc(k, sizeof *s->lasts));
    s->out = red_need(calloc(3 * (size_t)k, sizeof *s->out));
}

/* A new page number: 0, 1, 2, ... The caller touches it at once, so numbers follow first touches. */
static uint32_t red_new_page(red_state *s)
{
    if (s->n_pages == s->room) {
        s->room = s->room ? 2 * s->room : 4096;
        s->pages = red_need(realloc(s->pages, s->room * sizeof *s->pages));
    }
    memset(&s->pages[s->n_pages], 0, sizeof *s->pages);
    return (uint32_t)s->n_pages++;
}

static int red_by_time(const void *a, const void *b)
{
    uint64_t x = ((const red_record *)a)->time, y = ((const red_record *)b)->time;
    return (x > y) - (x < y);
}

/* The last touch becomes a record of its own; the other pending touches become repeats. */
static void red_close_page(red_state *s, uint32_t page)
{
    red_page *p = &s->pages[page];
    if (!p->pending[0] && !p->pending[1])
        return;
    p->pending[p->last_op]--;
    s->events[p->event].repeat_reads = p->pending[0];
    s->events[p->event].repeat_writes = p->pending[1];
    s->lasts[s->n_lasts++] = (red_record){p->last_time, page, p->last_op, 0, 0};
    p->pending[0] = p->pending[1] = 0;
}

/* Hand out what this process has of a block that is over. */
static void red_close_block(red_state *s)
{
    size_t i = 0, j = 0, n = 0;
    for (uint32_t page = 0; page < s->n_in_block; page++)
        red_close_page(s, s->in_block[page]);
    qsort(s->lasts, s->n_lasts, sizeof *s->lasts, red_by_time);
    while (i < s->n_events || j < s->n_lasts)
        if (j == s->n_lasts || (i < s->n_events && s->events[i].time < s->lasts[j].time))
            s->out[n++] = s->events[i++];
        else
            s->out[n++] = s->lasts[j++];
    s->family->n_records += n;
    s->n_events = s->n_lasts = s->n_in_block = 0;
    s->block = s->family->block;
    if (n)
        s->sink(s->context, s->out, n);
}

/* The block is over for every process; the others notice at their next touch. */
static void red_end_block(red_state *s)
{
    s->family->block++;
    s->family->n_in_block = 0;
    red_close_block(s);
}

static void red_keep(red_state *s, red_page *p, uint32_t page, int op)
{
    p->event = (uint32_t)s->n_events;
    s->events[s->n_events++] = (red_record){++s->family->clock, page, (uint32_t)op, 0, 0};
}

static void red_first_touch(red_state *s, uint32_t page, int op)
{
    if (s->family->n_in_block >= s->k)
        red_end_block(s);
    s->family->n_in_block++;
    red_page *p = &s->pages[page];
    s->in_block[s->n_in_block++] = page;
    p->block = s->block;
    p->pending[0] = p->pending[1] = 0;
    p->written = (uint8_t)op;
    if (!p->live && ++s->n_live > s->n_live_peak)
        s->n_live_peak = s->n_live;
    p->live = 1;
    red_keep(s, p, page, op);
}

static void red_first_write(red_state *s, uint32_t page)
{
    red_page *p = &s->pages[page];
    s->events[p->event].repeat_reads = p->pending[0];
    p->pending[0] = 0;
    p->written = 1;
    red_keep(s, p, page, RED_WRITE);
}

/* In the parent, before it: nothing under way is inherited, and what is live is shared from now on. */
static void red_fork(red_state *s)
{
    red_end_block(s);
    for (size_t page = 0; page < s->n_pages; page++)
        s->pages[page].may_copy = s->pages[page].live;
}

/* What was touched is left behind, maybe for a copy: what follows is another page's first touch. */
static void red_part(red_state *s, uint32_t page)
{
    red_page *p = &s->pages[page];
    if (p->block == s->block)
        red_close_page(s, page);
    p->block = 0;
    p->may_copy = 0;
}

/* The hot path: op is RED_READ or RED_WRITE, page a number from red_new_page. */
static inline void red_touch(red_state *s, uint32_t page, int op)
{
    red_page *p = &s->pages[page];
    if (s->block != s->family->block)
        red_close_block(s);
    if (op && p->may_copy)
        red_part(s, page);
    if (p->block != s->block) {
        red_first_touch(s, page, op);
    } else if (op && !p->written) {
        red_first_write(s, page);
    } else {
        p->last_time = ++s->family->clock;
        p->last_op = (uint8_t)op;
        if (++p->pending[op] == UINT32_MAX)
            red_end_block(s);
    }
}

/* Frees of pages that are not live are not recorded. */
static void red_free(red_state *s, uint32_t page)
{
    if (!s->pages[page].live)
        return;
    red_end_block(s);
    s->pages[page].live = s->pages[page].may_copy = 0;
    s->n_live--;
    s->family->n_records++;
    s->family->n_frees++;
    s->sink(s->context, &(red_record){++s->family->clock, page, RED_FREE, 0, 0}, 1);
}

#endif
