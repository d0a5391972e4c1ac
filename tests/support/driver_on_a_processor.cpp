// What the program asks of libcuda and libcublas, done on the processor: memory, streams, graphs, and the kernels of
// hop.cu, thread by thread. It makes the way of a hop on a GPU testable where there is none; it is slow and says nothing
// of time. Threads of a block are contexts that take turns at barriers and shuffles.
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

struct Dim {
    unsigned x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

namespace machine {

struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 17);
    bool over = false;
};
static std::vector<std::unique_ptr<Thread>> threads;
static ucontext_t scheduler;
static unsigned running, count;
static unsigned arrived, generation;
static float exchanged[1024];
static unsigned warp_arrived[32], warp_generation[32];
static const std::function<void()> *body;

static void turn() {
    const unsigned self = running;
    swapcontext(&threads[self]->context, &scheduler);
}

static void barrier(unsigned &arrived, unsigned &generation, unsigned of) {
    const unsigned mine = generation;
    if (++arrived == of) {
        arrived = 0;
        generation++;
        return;
    }
    while (generation == mine) turn();
}

static void start() {
    (*body)();
    threads[running]->over = true;
    turn();
}

static void block(unsigned size, const std::function<void()> &kernel) {
    body = &kernel;
    count = size;
    arrived = 0;
    for (unsigned &n : warp_arrived) n = 0;
    while (threads.size() < size) threads.push_back(std::make_unique<Thread>());
    for (unsigned i = 0; i < size; i++) {
        Thread &thread = *threads[i];
        thread.over = false;
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.data();
        thread.context.uc_stack.ss_size = thread.stack.size();
        thread.context.uc_link = nullptr;
        makecontext(&thread.context, start, 0);
    }
    for (unsigned left = size; left > 0;) {
        for (unsigned i = 0; i < size; i++) {
            if (threads[i]->over) continue;
            running = i;
            threadIdx = Dim{i, 0, 0};
            swapcontext(&scheduler, &threads[i]->context);
            if (threads[i]->over) left--;
        }
    }
}

}  // namespace machine

static void __syncthreads() { machine::barrier(machine::arrived, machine::generation, machine::count); }

static float __shfl_xor_sync(unsigned, float value, int mask) {
    using namespace machine;
    const unsigned self = running, warp = self / 32;
    exchanged[self] = value;
    barrier(warp_arrived[warp], warp_generation[warp], 32);
    const float other = exchanged[self ^ mask];
    barrier(warp_arrived[warp], warp_generation[warp], 32);
    return other;
}

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(n)
#include "../../src/kernels/cuda/hop.cu"

namespace {

using Launch = std::function<void()>;

template <class... A, size_t... I>
Launch bound(void (*kernel)(A...), void **params, std::index_sequence<I...>) {
    auto args = std::make_tuple(*static_cast<std::remove_reference_t<A> *>(params[I])...);
    return [kernel, args] { std::apply(kernel, args); };
}
template <class... A>
std::function<Launch(void **)> binder(void (*kernel)(A...)) {
    return [kernel](void **params) { return bound(kernel, params, std::index_sequence_for<A...>{}); };
}

#define NAMED(NAME) {#NAME, binder(NAME)},
#define FIRST_NAMED(J) NAMED(first_##J)
#define NORM_NAMED(J) NAMED(norm_##J)
#define THIN_NAMED(R) NAMED(thin_##R)
std::map<std::string, std::function<Launch(void **)>> kernels = {
    FOR_WIDTHS(FIRST_NAMED) FOR_WIDTHS(NORM_NAMED) FOR_ROWS(THIN_NAMED) NAMED(window) NAMED(bands) NAMED(score) NAMED(gru)};

using Work = std::vector<Launch>;
Work *recording = nullptr;

int act(Launch work) {
    if (recording != nullptr)
        recording->push_back(std::move(work));
    else
        work();
    return 0;
}

int one_of_them;
void *something = &one_of_them;

}  // namespace

extern "C" {

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *v) { return *v = 13000, 0; }
int cuDeviceGetCount(int *n) { return *n = 1, 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal == 0 ? 0 : 101; }
int cuDeviceGetAttribute(int *value, int, int) { return *value = 0, 0; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = something, 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuCtxGetCurrent(void **context) { return *context = something, 0; }
int cuCtxSynchronize() { return 0; }
int cuStreamCreate(void **stream, unsigned) { return *stream = something, 0; }
int cuStreamDestroy_v2(void *) { return 0; }
int cuStreamSynchronize(void *) { return 0; }
int cuStreamWaitEvent(void *, void *, unsigned) { return 0; }
int cuEventCreate(void **event, unsigned) { return *event = something, 0; }
int cuEventDestroy_v2(void *) { return 0; }
int cuEventRecord(void *, void *) { return 0; }
int cuEventSynchronize(void *) { return recording == nullptr ? 0 : 900; }
int cuGetErrorName(int, const char **name) { return *name = "an error of the driver on a processor", 0; }
int cuGetErrorString(int, const char **name) { return *name = "an error of the driver on a processor", 0; }

// fresh memory holds noise, as a GPU's does
int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    if (recording != nullptr) return 900;
    void *memory = malloc(bytes);
    memset(memory, 0xa5, bytes);
    return *at = reinterpret_cast<uint64_t>(memory), 0;
}
int cuMemFree_v2(uint64_t at) { return free(reinterpret_cast<void *>(at)), 0; }
int cuMemHostAlloc(void **at, size_t bytes, unsigned) { return *at = malloc(bytes), 0; }
int cuMemFreeHost(void *at) { return free(at), 0; }
int cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, void *) {
    return act([=] { memset(reinterpret_cast<void *>(at), value, bytes); });
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    return act([=] { memcpy(reinterpret_cast<void *>(to), from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    return act([=] { memcpy(to, reinterpret_cast<void *>(from), bytes); });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *) {
    return act([=] { memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
}

int cuModuleLoadData(void **module, const void *) { return *module = something, 0; }
int cuModuleUnload(void *) { return 0; }
int cuModuleGetFunction(void **function, void *, const char *name) {
    auto found = kernels.find(name);
    if (found == kernels.end()) return 500;
    return *function = &found->second, 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *, void **params, void **) {
    if (gx == 0 || gy == 0 || gz == 0 || bx == 0 || bx > 1024 || by != 1 || bz != 1) return 1;
    Launch kernel = (*static_cast<std::function<Launch(void **)> *>(function))(params);
    return act([=] {
        gridDim = Dim{gx, gy, gz};
        blockDim = Dim{bx, 1, 1};
        for (unsigned z = 0; z < gz; z++)
            for (unsigned y = 0; y < gy; y++)
                for (unsigned x = 0; x < gx; x++) {
                    blockIdx = Dim{x, y, z};
                    machine::block(bx, kernel);
                }
    });
}

int cuStreamBeginCapture_v2(void *, int) { return recording = new Work, 0; }
int cuStreamEndCapture(void *, void **graph) {
    *graph = recording;
    recording = nullptr;
    return 0;
}
int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long) { return *exec = graph, 0; }
int cuGraphUpload(void *, void *) { return 0; }
int cuGraphExecDestroy(void *) { return 0; }
int cuGraphDestroy(void *graph) { return delete static_cast<Work *>(graph), 0; }
int cuGraphLaunch(void *exec, void *) {
    for (const Launch &work : *static_cast<Work *>(exec)) work();
    return 0;
}

int cublasCreate_v2(void **handle) { return *handle = something, 0; }
int cublasDestroy_v2(void *) { return 0; }
int cublasSetStream_v2(void *, void *) { return 0; }
int cublasSetWorkspace_v2(void *, void *, size_t) { return 0; }
int cublasGemmStridedBatchedEx(void *, int transa, int transb, int m, int n, int k, const void *alpha, const void *a, int, int lda,
                               long long stride_a, const void *b, int, int ldb, long long stride_b, const void *beta, void *c, int,
                               int ldc, long long stride_c, int batch, int, int) {
    if (transa != 0 || transb != 0 || lda < m || ldb < k || ldc < m) return 7;
    const float scale = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
    return act([=] {
        for (int i = 0; i < batch; i++) {
            const float *left = static_cast<const float *>(a) + i * stride_a, *right = static_cast<const float *>(b) + i * stride_b;
            float *to = static_cast<float *>(c) + i * stride_c;
            for (int col = 0; col < n; col++) {
                float *sums = to + (size_t)col * ldc;
                for (int row = 0; row < m; row++) sums[row] = keep == 0.f ? 0.f : keep * sums[row];
                for (int d = 0; d < k; d++) {
                    const float x = scale * right[(size_t)col * ldb + d];
                    for (int row = 0; row < m; row++) sums[row] += x * left[(size_t)d * lda + row];
                }
            }
        }
    });
}
}
