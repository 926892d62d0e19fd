/*
 * reduce_main.c K: the reducer of reduce.h on its own, for tests and for a second, coarser pass.
 *
 * Standard input: pairs of uint32 (page, op). Standard output: records of four uint32 (page, op,
 * repeat_reads, repeat_writes). Page numbers must be dense and in order of first appearance.
 */
#include "reduce.h"

static void put(void *context, const red_record *records, size_t n)
{
    fwrite(records, sizeof *records, n, context);
}

int main(int argc, char **argv)
{
    red_state state;
    uint32_t touch[2];
    if (argc != 2 || atoi(argv[1]) < 1) {
        fputs("usage: reduce_main K < touches > records\n", stderr);
        return 2;
    }
    red_init(&state, (uint32_t)atoi(argv[1]), put, stdout);
    while (fread(touch, sizeof touch, 1, stdin) == 1) {
        while (touch[0] >= state.n_pages)
            red_new_page(&state);
        if (touch[1] == RED_FREE)
            red_free(&state, touch[0]);
        else
            red_touch(&state, touch[0], (int)touch[1]);
    }
    red_end_block(&state);
    return fflush(stdout) != 0;
}
