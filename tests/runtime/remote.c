/* The far side of remote.py: calls kernels on another machine whose memory is fetched page by page from the caller.
 *
 * A pointer of the caller's stands for the same address with bit 45 turned over, where nothing of this program lies. The
 * first access to a page faults; the handler asks for its content, maps it and lets the access go on. After each call all
 * pages go back and are unmapped, so that the caller's memory is seen anew by the next one. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote.h"

enum { PAGE = 4096, MOST_PAGES = 1 << 16 };

static uint64_t pages[MOST_PAGES];
static size_t held;

static void receive(void *to, size_t bytes) {
    for (ssize_t n; bytes > 0; to = (char *)to + n, bytes -= (size_t)n) {
        n = read(0, to, bytes);
        if (n <= 0) _exit(3);
    }
}

static void deliver(const void *from, size_t bytes) {
    for (ssize_t n; bytes > 0; from = (const char *)from + n, bytes -= (size_t)n) {
        n = write(1, from, bytes);
        if (n <= 0) _exit(3);
    }
}

/* Asks for the page with a request that is its number of bytes 0 and its address; exits if the caller has none. */
static void on_fault(int signal, siginfo_t *info, void *context) {
    const uint64_t page = (uint64_t)(uintptr_t)info->si_addr & ~(uint64_t)(PAGE - 1), request[2] = {0, page};
    uint64_t granted;
    (void)signal;
    (void)context;
    deliver(request, sizeof request);
    receive(&granted, sizeof granted);
    if (!granted || held == MOST_PAGES) _exit(4);
    void *at = mmap((void *)(uintptr_t)page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (at == MAP_FAILED) _exit(5);
    receive(at, PAGE);
    pages[held++] = page;
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    for (;;) {
        uint64_t which, answer[3] = {1, 0, 0};
        remote_slot arguments[REMOTE_MOST_ARGUMENTS], result;
        memset(&result, 0, sizeof result);
        receive(&which, sizeof which);
        receive(arguments, sizeof arguments);
        remote_call(which, arguments, &result);
        memcpy(answer + 1, &result, sizeof result);
        answer[2] = held;
        deliver(answer, sizeof answer);
        for (size_t i = 0; i < held; i++) {
            deliver(pages + i, sizeof *pages);
            deliver((const void *)(uintptr_t)pages[i], PAGE);
            munmap((void *)(uintptr_t)pages[i], PAGE);
        }
        held = 0;
    }
}
