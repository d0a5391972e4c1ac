// The kernels of a hop on an NVIDIA GPU. Large products are cuBLAS's; what stands between them is here, and products of
// few rows, where reading the weights is all the work.
//
// Streams are rows. Memory of a stream: `stride` floats at `memory + row * stride`; only rows with `active` set change
// theirs. Partial sums: a product may come in `splits` planes of `plane` floats, which whoever reads it adds up.

namespace {

constexpr int WARP = 32;
constexpr int WARPS = 8;
constexpr int CHUNK = 128;
constexpr float EPSILON = 1e-5f;

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int o = WARP / 2; o > 0; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

__device__ __forceinline__ float sum_of_planes(const float *at, int splits, size_t plane) {
    float sum = 0.f;
    for (int s = 0; s < splits; s++) sum += at[s * plane];
    return sum;
}

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// Where the frames of a layer go: the input of the next convolution, one row a frame of its output with the block before
// and the block itself side by side, or, with `rows` 0, frame after frame.
struct Emit {
    float *to;
    float *memory;
    int stride;  // of memory
    int offset;  // of the last block in memory
    int rows;
    int s;  // stride of the next convolution
};

// The places of one frame: where it is `now`, and where it is the block before.
struct Places {
    float *now;
    float *past;
    float *last;  // in memory, where the block before is the next hop's; what it held is the past of this hop's first row
};

__device__ __forceinline__ Places places(const Emit &e, int row, int frames, int t, int channels) {
    if (e.rows == 0) return Places{e.to + ((size_t)row * frames + t) * channels, nullptr, nullptr};
    const int block = t / e.s, p = t % e.s;
    const size_t width = 2 * (size_t)e.s * channels;
    float *base = e.to + (size_t)row * e.rows * width;
    float *now = base + block * width + (size_t)(e.s + p) * channels;
    if (block + 1 < e.rows) return Places{now, base + (block + 1) * width + (size_t)p * channels, nullptr};
    return Places{now, base + (size_t)p * channels, e.memory + (size_t)row * e.stride + e.offset + (size_t)p * channels};
}

__device__ __forceinline__ void put(const Places &to, bool active, int c, float v) {
    to.now[c] = v;
    if (to.last != nullptr) {
        to.past[c] = to.last[c];
        if (active) to.last[c] = v;
    } else if (to.past != nullptr) {
        to.past[c] = v;
    }
}

// Mean and deviation of the channels of a frame that a warp holds, J a lane.
template <int J>
__device__ __forceinline__ void normalise(float (&v)[J], int channels, int lane, const float *gain, const float *bias) {
    float sum = 0.f;
#pragma unroll
    for (int j = 0; j < J; j++) sum += v[j];  // what lies beyond the channels is 0
    const float mean = warp_sum(sum) / channels;
    float square = 0.f;
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int c = lane + WARP * j;
        v[j] = c < channels ? v[j] - mean : 0.f;
        square += v[j] * v[j];
    }
    const float scale = 1.f / sqrtf(warp_sum(square) / (channels - 1) + EPSILON);
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int c = lane + WARP * j;
        if (c < channels) v[j] = v[j] * scale * gain[c] + bias[c];
    }
}

// The first convolution on samples: kernel 10, stride 5, one channel in. A block a stream, a warp 4 of the 32 frames.
template <int J>
__device__ __forceinline__ void first(const float *samples, const float *mask, float *memory, int stride, int offset,
                                      const float *weights, const float *layer_bias, const float *gain, const float *bias,
                                      int channels, Emit e) {
    constexpr int S = 5, F = 4, HOP = 160;
    __shared__ float heard[S + HOP];
    const int row = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const bool active = mask[row] != 0.f;
    float *last = memory + (size_t)row * stride + offset;
    for (int i = threadIdx.x; i < S + HOP; i += blockDim.x) heard[i] = i < S ? last[i] : samples[(size_t)row * HOP + i - S];
    __syncthreads();
    if (active && threadIdx.x < S) last[threadIdx.x] = heard[HOP + threadIdx.x];
    float v[F][J];
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int c = lane + WARP * j;
#pragma unroll
        for (int f = 0; f < F; f++) v[f][j] = c < channels ? layer_bias[c] : 0.f;
        if (c < channels) {
#pragma unroll
            for (int i = 0; i < 2 * S; i++) {
                const float w = weights[i * channels + c];
#pragma unroll
                for (int f = 0; f < F; f++) v[f][j] = fmaf(heard[(warp * F + f) * S + i], w, v[f][j]);
            }
        }
    }
#pragma unroll
    for (int f = 0; f < F; f++) {
        if (gain != nullptr) normalise<J>(v[f], channels, lane, gain, bias);
        const Places to = places(e, row, F * WARPS, warp * F + f, channels);
#pragma unroll
        for (int j = 0; j < J; j++) {
            const int c = lane + WARP * j;
            if (c < channels) put(to, active, c, fmaxf(v[f][j], 0.f));
        }
    }
}

// What follows a convolution's product: bias, norm, rectifier. A warp a frame.
template <int J>
__device__ __forceinline__ void norm(const float *product, int splits, size_t plane, const float *mask, const float *layer_bias,
                                     const float *gain, const float *bias, int streams, int frames, int channels, Emit e) {
    const int lane = threadIdx.x % WARP;
    const int frame = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (frame >= streams * frames) return;
    const int row = frame / frames, t = frame % frames;
    float v[J];
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int c = lane + WARP * j;
        v[j] = c < channels ? sum_of_planes(product + (size_t)frame * channels + c, splits, plane) + layer_bias[c] : 0.f;
    }
    if (gain != nullptr) normalise<J>(v, channels, lane, gain, bias);
    const bool active = mask[row] != 0.f;
    const Places to_frame = places(e, row, frames, t, channels);
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int c = lane + WARP * j;
        if (c < channels) put(to_frame, active, c, fmaxf(v[j], 0.f));
    }
}

// A product of at most R rows: [R, depth] by [depth, cols]. Grid: 32 columns, 128 of the depth, slot.
template <int R>
__device__ __forceinline__ void thin(const float *xs, int ldx, int slot_x, const float *weights, size_t slot_w, float *ys,
                                     size_t plane, int rows, int depth, int cols) {
    __shared__ float x[R][CHUNK];
    __shared__ float part[WARPS][R][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int col = blockIdx.x * WARP + lane, from = blockIdx.y * CHUNK, slot = blockIdx.z;
    xs += (size_t)slot * slot_x;
    weights += slot * slot_w;
    for (int i = threadIdx.x; i < R * CHUNK; i += blockDim.x) {
        const int r = i / CHUNK, k = i % CHUNK;
        x[r][k] = r < rows && from + k < depth ? xs[(size_t)r * ldx + from + k] : 0.f;
    }
    constexpr int STEPS = CHUNK / WARPS;
    float w[STEPS];
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
        const int k = from + warp * STEPS + i;
        w[i] = k < depth && col < cols ? weights[(size_t)k * cols + col] : 0.f;
    }
    __syncthreads();
    float sums[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
        sums[r] = 0.f;
#pragma unroll
        for (int i = 0; i < STEPS; i++) sums[r] = fmaf(x[r][warp * STEPS + i], w[i], sums[r]);
        part[warp][r][lane] = sums[r];
    }
    __syncthreads();
    for (int r = warp; r < rows; r += WARPS) {
        float sum = 0.f;
#pragma unroll
        for (int i = 0; i < WARPS; i++) sum += part[i][r][lane];
        if (col < cols) ys[blockIdx.y * plane + ((size_t)slot * rows + r) * cols + col] = sum;
    }
}

}  // namespace

#define FOR_WIDTHS(MAKE) MAKE(1) MAKE(2) MAKE(4) MAKE(8) MAKE(16)
#define FOR_ROWS(MAKE) MAKE(1) MAKE(2) MAKE(4) MAKE(8) MAKE(16)

#define FIRST(J)                                                                                                       \
    extern "C" __global__ void __launch_bounds__(WARP *WARPS)                                                         \
        first_##J(const float *samples, const float *mask, float *memory, int stride, int offset, const float *weights, \
                  const float *layer_bias, const float *gain, const float *bias, int channels, float *to, int to_offset, \
                  int to_rows, int to_s) {                                                                             \
        first<J>(samples, mask, memory, stride, offset, weights, layer_bias, gain, bias, channels,                     \
                 Emit{to, memory, stride, to_offset, to_rows, to_s});                                                  \
    }
FOR_WIDTHS(FIRST)

#define NORM(J)                                                                                                        \
    extern "C" __global__ void __launch_bounds__(WARP *WARPS)                                                         \
        norm_##J(const float *product, int splits, size_t plane, const float *mask, const float *layer_bias,         \
                 const float *gain, const float *bias, int streams, int frames, int channels, float *to, float *memory, \
                 int stride, int to_offset, int to_rows, int to_s) {                                                   \
        norm<J>(product, splits, plane, mask, layer_bias, gain, bias, streams, frames, channels,                       \
                Emit{to, memory, stride, to_offset, to_rows, to_s});                                                   \
    }
FOR_WIDTHS(NORM)

#define THIN(R)                                                                                                        \
    extern "C" __global__ void __launch_bounds__(WARP *WARPS)                                                         \
        thin_##R(const float *xs, int ldx, int slot_x, const float *weights, size_t slot_w, float *ys, size_t plane,   \
                 int rows, int depth, int cols) {                                                                      \
        thin<R>(xs, ldx, slot_x, weights, slot_w, ys, plane, rows, depth, cols);                                       \
    }
FOR_ROWS(THIN)

// The last 400 samples of each stream as a row; 160 threads a stream.
extern "C" __global__ void window(const float *samples, const float *mask, float *memory, int stride, int offset, float *rows) {
    constexpr int HOP = 160, SKIPPED = 80, WINDOW = 400;
    const int row = blockIdx.x, i = threadIdx.x;
    float *sound = memory + (size_t)row * stride + offset;
    float *to = rows + (size_t)row * WINDOW;
    const float oldest = sound[i], older = sound[i + HOP], now = samples[(size_t)row * HOP + i];
    if (i >= SKIPPED) to[i - SKIPPED] = oldest;
    to[i + HOP - SKIPPED] = older;
    to[i + 2 * HOP - SKIPPED] = now;
    if (mask[row] != 0.f) {
        sound[i] = older;
        sound[i + HOP] = now;
    }
}

// ln(power · mel + 1e-6), and where `least` is not negative these bands in units of the place, as input of the first
// convolution. A block a stream, a thread a band.
extern "C" __global__ void bands(const float *spectrum, int splits, size_t plane, int ld, int bins, const float *mel, int count,
                                 const float *mask, float *out, float least, float *memory, int stride, int site, float *to,
                                 int to_offset) {
    extern __shared__ float power[];
    const int row = blockIdx.x, b = threadIdx.x;
    for (int f = b; f < bins; f += blockDim.x) {
        const float *at = spectrum + (size_t)row * ld + f;
        const float re = sum_of_planes(at, splits, plane), im = sum_of_planes(at + bins, splits, plane);
        power[f] = re * re + im * im;
    }
    __syncthreads();
    float sum = 1e-6f;
    for (int f = 0; f < bins; f++) sum = fmaf(power[f], mel[f * count + b], sum);
    const float x = logf(sum);
    out[(size_t)row * count + b] = x;
    if (least < 0.f) return;
    const bool active = mask[row] != 0.f;
    float *place = memory + (size_t)row * stride + site;
    float mean = place[b], variance = place[count + b], heard = place[2 * count], y;
    __syncthreads();  // all have read what one of them is about to change
    if (least == 0.f) {
        y = (x - mean) / sqrtf(variance);
    } else {
        heard = fminf(heard + 1.f, 1.f / least);
        const float weight = 1.f / heard, off = x - mean;
        mean += off * weight;
        variance = (variance + off * off * weight) * (1.f - weight);
        y = (x - mean) / sqrtf(variance + 1e-4f);
        if (active) {
            place[b] = mean;
            place[count + b] = variance;
            if (b == 0) place[2 * count] = heard;
        }
    }
    put(places(Emit{to, memory, stride, to_offset, 1, 1}, row, 1, 0, count), active, b, y);
}

// PMI of z with each slot's prediction; a warp a slot of a stream. Slot j holds c_{u-(K-j)}, so it is PMI number K-1-j.
extern "C" __global__ void score(const float *predictions, int splits, size_t plane, int ld, const float *latents, const float *memory,
                                 int stride, int missing, int streams, int horizons, int latent, int negatives, float *pmi) {
    const int lane = threadIdx.x % WARP;
    const int unit = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (unit >= streams * horizons) return;
    const int slot = unit / streams, row = unit % streams;
    const float *at = predictions + (size_t)unit * ld;
    float dot = 0.f;
    for (int c = lane; c < latent; c += WARP) dot = fmaf(sum_of_planes(at + c, splits, plane), latents[(size_t)row * latent + c], dot);
    float most = -INFINITY, sum = 0.f;
    for (int n = lane; n < negatives; n += WARP) {
        const float logit = sum_of_planes(at + latent + n, splits, plane);
        const float top = fmaxf(most, logit);
        sum = sum * expf(most - top) + expf(logit - top);
        most = top;
    }
    float top = most;
#pragma unroll
    for (int o = WARP / 2; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, o));
    sum = warp_sum(most == -INFINITY ? 0.f : sum * expf(most - top));
    dot = warp_sum(dot);
    if (lane == 0) {
        const float against = top + logf(sum) - logf((float)negatives);
        pmi[(size_t)row * horizons + horizons - 1 - slot] = dot - against + memory[(size_t)row * stride + missing + slot];
    }
}

// One GRU layer, a thread a unit; after the last layer (`horizons` > 0) the contexts move up by one.
extern "C" __global__ void gru(const float *from_input, const float *from_hidden, int splits_input, int splits_hidden, size_t plane_input,
                               size_t plane_hidden, const float *bias_input, const float *bias_hidden, const float *mask,
                               float *memory, int stride, int hidden, int width, int streams, float *out, int contexts,
                               int missing, int horizons) {
    const int unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= streams * width) return;
    const int row = unit / width, i = unit % width;
    float x[3], g[3];
#pragma unroll
    for (int k = 0; k < 3; k++) {
        const size_t at = (size_t)row * 3 * width + k * width + i;
        x[k] = sum_of_planes(from_input + at, splits_input, plane_input) + bias_input[k * width + i];
        g[k] = sum_of_planes(from_hidden + at, splits_hidden, plane_hidden) + bias_hidden[k * width + i];
    }
    float *own = memory + (size_t)row * stride;
    const float before = own[hidden + i];
    const float reset = sigmoid(x[0] + g[0]), update = sigmoid(x[1] + g[1]);
    const float fresh = tanhf(x[2] + reset * g[2]);
    const float h = fresh + update * (before - fresh);
    out[(size_t)row * width + i] = h;
    if (mask[row] == 0.f) return;
    own[hidden + i] = h;
    if (horizons == 0) return;
    float *past = own + contexts + i;
    for (int k = 0; k + 1 < horizons; k++) past[k * width] = past[(k + 1) * width];
    past[(horizons - 1) * width] = h;
    if (i == 0) {
        float *gone = own + missing;
        for (int k = 0; k + 1 < horizons; k++) gone[k] = gone[k + 1];
        gone[horizons - 1] = 0.f;
    }
}
