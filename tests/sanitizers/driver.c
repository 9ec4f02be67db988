/* Runs one network on buffers that lie against guard pages, with the arena filled with different bytes, in several threads, and
 * writes the outputs of the first run. Ends with status 1 where two runs differ.
 *
 * A generated network.h gives NETWORK_RUN, NETWORK_IO, ARENA, BATCH, INPUTS, OUTPUTS and, for each buffer, its bytes and its place
 * in the io structure. Usage: driver INPUTS OUTPUTS, raw bytes, one buffer behind the other. */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "network.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define UNDEFINED(p, n) __msan_poison(p, n)
#define DEFINED(p, n) __msan_check_mem_is_initialized(p, n)
#endif
#endif
#ifndef UNDEFINED
#define UNDEFINED(p, n) ((void)0)
#define DEFINED(p, n) ((void)0)
#endif

#define BUFFERS (INPUTS + OUTPUTS + 1)

static unsigned char *given[INPUTS];
static unsigned char *first[OUTPUTS];

static void refuse(const char *why) {
    perror(why);
    exit(2);
}

/* `bytes` that begin or end at a page which nobody may touch. Ending there they are only as aligned as their elements are. */
static unsigned char *guarded(size_t bytes, int at_end, size_t *whole, unsigned char **base) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    *whole = inner + 2 * page;
    *base = mmap(NULL, *whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*base == MAP_FAILED || (inner && mprotect(*base + page, inner, PROT_READ | PROT_WRITE))) {
        refuse("guard pages");
    }
    return *base + page + (at_end ? inner - bytes : 0);
}

/* One call; `results` are where the outputs are kept. */
static void run(int at_end, int fill, unsigned char **results) {
    unsigned char *place[BUFFERS], *base[BUFFERS];
    size_t whole[BUFFERS];
    NETWORK_IO io;
    memset(&io, 0, sizeof io);
    SET_BATCH(io);
    for (int i = 0; i < BUFFERS; i++) {
        const size_t bytes = i < BUFFERS - 1 ? sizes[i] : ARENA;
        place[i] = guarded(bytes, at_end, &whole[i], &base[i]);
        if (i < INPUTS) {
            memcpy(place[i], given[i], bytes);
        } else {
            memset(place[i], fill, bytes);
            UNDEFINED(place[i], bytes);
        }
        if (i < BUFFERS - 1) {
            memcpy((char *)&io + offsets[i], &place[i], sizeof place[i]);
        }
    }
    if (NETWORK_RUN(&io, place[BUFFERS - 1])) {
        fprintf(stderr, "the network refuses its buffers\n");
        exit(2);
    }
    for (int i = 0; i < BUFFERS; i++) {
        if (i >= INPUTS && i < BUFFERS - 1) {
            DEFINED(place[i], sizes[i]);
            memcpy(results[i - INPUTS], place[i], sizes[i]);
        } else if (i < INPUTS && memcmp(place[i], given[i], sizes[i])) {
            fprintf(stderr, "input %d was written to\n", i);
            exit(1);
        }
        munmap(base[i], whole[i]);
    }
}

static void *runs(void *unused) {
    unsigned char *results[OUTPUTS];
    for (int i = 0; i < OUTPUTS; i++) {
        results[i] = malloc(sizes[INPUTS + i] + 1);
    }
    for (int way = 0; way < 4; way++) {
        run(way & 1, way & 2 ? 0xFF : 0, results);
        for (int i = 0; i < OUTPUTS; i++) {
            if (memcmp(results[i], first[i], sizes[INPUTS + i])) {
                fprintf(stderr, "output %d depends on where the buffers lie or on what the arena held\n", i);
                exit(1);
            }
        }
    }
    for (int i = 0; i < OUTPUTS; i++) {
        free(results[i]);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!file) {
        refuse("inputs");
    }
    for (int i = 0; i < INPUTS + OUTPUTS; i++) {
        unsigned char *memory = malloc(sizes[i] + 1);
        if (i >= INPUTS) {
            first[i - INPUTS] = memory;
        } else if (given[i] = memory, fread(memory, 1, sizes[i], file) != sizes[i]) {
            refuse("inputs");
        }
    }
    fclose(file);
    run(0, 0, first);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, runs, NULL)) {
            refuse("threads");
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    file = fopen(argv[2], "wb");
    for (int i = 0; file && i < OUTPUTS; i++) {
        fwrite(first[i], 1, sizes[INPUTS + i], file);
    }
    if (!file || fclose(file)) {
        refuse("outputs");
    }
    for (int i = 0; i < INPUTS + OUTPUTS; i++) {
        free(i < INPUTS ? given[i] : first[i - INPUTS]);
    }
    return 0;
}
