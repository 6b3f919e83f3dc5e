// Runs kernels on the host, see emulator.h.
#include "emulator.h"

#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>
#include <utility>

#include "../sources/kernels.cu"

thread_local Dim threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum State { READY, AT_WARP, AT_BLOCK, ENDED };

constexpr size_t STACK_BYTES = 64 << 10;
constexpr unsigned THREADS_MAX = 1024;

// One thread of a block. It is begun once and then runs one block after another.
struct Fiber {
    State state;
    unsigned exchanges;
    bool begun;
    jmp_buf place;
};

// What a host thread keeps from launch to launch.
struct Block {
    Fiber fibers[THREADS_MAX];
    uint32_t words[2][THREADS_MAX];
    char* stacks;
    jmp_buf scheduler;
    unsigned current;
    void (*body)(void**);
    void** arguments;
};

thread_local Block* block;

// A fiber gives way until all that it waits for have come.
void wait(State state) {
    Fiber& fiber = block->fibers[block->current];
    fiber.state = state;
    if (!_setjmp(fiber.place)) _longjmp(block->scheduler, 1);
}

void enter() {
    for (;;) {
        block->body(block->arguments);
        wait(ENDED);
    }
}

void resume(unsigned index) {
    Fiber& fiber = block->fibers[index];
    block->current = index;
    threadIdx = {index, 0, 0};
    if (_setjmp(block->scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = block->stacks + index * STACK_BYTES;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, enter, 0);
    setcontext(&context);
}

// Lets those go on who wait for each other; false where some wait for ever.
bool release(unsigned threads) {
    bool moved = false;
    for (unsigned first = 0; first < threads; first += 32) {
        unsigned lanes = 0;
        for (unsigned i = first; i < first + 32; i++) lanes += block->fibers[i].state == AT_WARP;
        // A whole warp or none: the mask names all lanes.
        if (lanes == 32) {
            for (unsigned i = first; i < first + 32; i++) block->fibers[i].state = READY;
            moved = true;
        }
    }
    unsigned waiting = 0, ended = 0;
    for (unsigned i = 0; i < threads; i++) {
        waiting += block->fibers[i].state == AT_BLOCK;
        ended += block->fibers[i].state == ENDED;
    }
    if (waiting > 0 && waiting + ended == threads) {
        for (unsigned i = 0; i < threads; i++)
            if (block->fibers[i].state == AT_BLOCK) block->fibers[i].state = READY;
        moved = true;
    }
    return moved || ended == threads;
}

bool run_block(unsigned threads) {
    for (unsigned i = 0; i < threads; i++) {
        block->fibers[i].state = READY;
        block->fibers[i].exchanges = 0;
    }
    for (;;) {
        bool left = false;
        for (unsigned i = 0; i < threads; i++) {
            if (block->fibers[i].state == READY) resume(i);
            left |= block->fibers[i].state != ENDED;
        }
        if (!left) return true;
        if (!release(threads)) return false;
    }
}

// Calls a kernel with parameters as cuLaunchKernel takes them: a pointer to each.
template <typename... Parameters, size_t... Indices>
void call(void (*kernel)(Parameters...), void** arguments, std::index_sequence<Indices...>) {
    kernel(*static_cast<Parameters*>(arguments[Indices])...);
}

template <typename... Parameters>
void call(void (*kernel)(Parameters...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<Parameters...>());
}

struct Kernel {
    const char* name;
    void (*body)(void**);
};

#define KERNEL(NAME) {#NAME, [](void** arguments) { call(NAME, arguments); }}

const Kernel KERNELS[] = {
    KERNEL(activate), KERNEL(add_rms_norm), KERNEL(attend_bf16), KERNEL(attend_f16),
    KERNEL(attend_f32), KERNEL(attend_q8_0), KERNEL(best_token), KERNEL(likeliest_tokens),
    KERNEL(merge_spans), KERNEL(rms_norm), KERNEL(rms_norm_add), KERNEL(rotate),
    KERNEL(store_bf16), KERNEL(store_f16), KERNEL(store_f32), KERNEL(store_q8_0),
};

}  // namespace

void __syncthreads() { wait(AT_BLOCK); }

// Of two exchanges that follow each other each has words of its own; a lane comes to the third
// only after all have read the first.
uint32_t emulator_exchange(uint32_t own, unsigned from) {
    const unsigned index = block->current;
    uint32_t* words = block->words[block->fibers[index].exchanges++ % 2];
    words[index] = own;
    wait(AT_WARP);
    return words[index / 32 * 32 + from];
}

// 0, or why it failed: 1 no such kernel, 2 bad geometry, 3 threads wait for ever.
extern "C" int trireme_emulate(
    const char* name, const unsigned* grid, unsigned threads, void** arguments) {
    const Kernel* kernel = nullptr;
    for (const Kernel& known : KERNELS)
        if (!strcmp(known.name, name)) kernel = &known;
    if (!kernel) return 1;
    if (threads == 0 || threads > THREADS_MAX || threads % 32 != 0) return 2;
    for (int i = 0; i < 3; i++)
        if (grid[i] == 0 || (i > 0 && grid[i] > 65535)) return 2;
    if (!block) {
        block = static_cast<Block*>(calloc(1, sizeof(Block)));
        block->stacks = static_cast<char*>(malloc(THREADS_MAX * STACK_BYTES));
    }
    block->body = kernel->body;
    block->arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    bool whole = true;
    for (unsigned z = 0; whole && z < grid[2]; z++)
        for (unsigned y = 0; whole && y < grid[1]; y++)
            for (unsigned x = 0; whole && x < grid[0]; x++) {
                blockIdx = {x, y, z};
                whole = run_block(threads);
            }
    // Fibers that wait for ever are begun anew.
    for (unsigned i = 0; !whole && i < threads; i++) block->fibers[i].begun = false;
    return whole ? 0 : 3;
}
