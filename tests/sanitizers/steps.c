/* Steps two sequences of one network by turns and each alone, and ends with status 1 where that differs. States and arena lie in
 * memory of their exact size that nothing has set before. A generated network.h gives the names, IN, OUT and the bytes of a state. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

#define STEPS 1000

/* Small integers that depend on sequence and step. */
static void fill(float *x, int sequence, int step) {
    uint32_t seed = (uint32_t)(sequence * 7919 + step * 104729 + 1);
    for (int i = 0; i < IN; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 30) - 1.0f;
    }
}

static void step(NETWORK_STATE *state, void *arena, int sequence, int number, float *out) {
    float x[IN];
    const NETWORK_STEP_IO io = {x, out};
    fill(x, sequence, number);
    if (NETWORK_STEP(&io, state, arena) != 0) exit(2);
}

int main(void) {
    static float alone[2][STEPS][OUT], turns[2][STEPS][OUT];
    NETWORK_STATE *state[2];
    unsigned char *memory = malloc(ARENA + ALIGNMENT);
    void *arena = memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    for (int s = 0; s < 2; s++) {
        state[s] = malloc(sizeof *state[s]);
        if (NETWORK_INIT(state[s]) != 0) return 2;
        for (int t = 0; t < STEPS; t++) step(state[s], arena, s, t, alone[s][t]);
    }
    for (int s = 0; s < 2; s++) NETWORK_INIT(state[s]);
    for (int t = 0; t < STEPS; t++) {
        for (int s = 0; s < 2; s++) step(state[s ^ (t & 1)], arena, s ^ (t & 1), t, turns[s ^ (t & 1)][t]);
    }
    for (int s = 0; s < 2; s++) free(state[s]);
    free(memory);
    if (NETWORK_INIT(NULL) != 1 || NETWORK_STEP(NULL, NULL, NULL) != 1) return 3;
    return memcmp(alone, turns, sizeof alone) != 0;
}
