/*
 * reduce_main.c K: the reducer of reduce.h on its own, for tests and for a second, coarser pass.
 *
 * Standard input: pairs of uint32 (page, op; op 3: a fork, after which a write may copy). Standard
 * output: records of four uint32 (page, op, repeat_reads, repeat_writes). Page numbers must be dense
 * and in order of first appearance.
 */
#include "reduce.h"

static void put(void *context, const red_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fwrite(&records[i].page, sizeof(uint32_t), 4, context);
}

int main(int argc, char **argv)
{
    red_state state;
    red_family alone = {0};
    uint32_t touch[2];
    if (argc != 2 || atoi(argv[1]) < 1) {
        fputs("usage: reduce_main K < touches > records\n", stderr);
        return 2;
    }
    red_init(&state, &alone, (uint32_t)atoi(argv[1]), put, stdout);
    while (fread(touch, sizeof touch, 1, stdin) == 1) {
        if (touch[1] == 3) {
            red_fork(&state);
            continue;
        }
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
