// Flags between ranks: signal, and wait by the clock.  A Triton kernel can do the first; it has no clock on which to give up.
//
// Every rank owns an array of `world` 64-bit words that all ranks can write.  Rank r tells rank p that it has reached an epoch by
// storing it in p's word r.  Words only grow, so nothing is reset.  The release of the signal orders every earlier write of this
// stream, puts included, before it; the acquire of the wait orders every later read behind it.

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace {

__device__ void store_release(int64_t *to, int64_t value) {
  asm volatile("st.release.sys.global.s64 [%0], %1;" ::"l"(to), "l"(value) : "memory");
}

__device__ int64_t load_acquire(const int64_t *from) {
  int64_t value;
  asm volatile("ld.acquire.sys.global.s64 %0, [%1];" : "=l"(value) : "l"(from) : "memory");
  return value;
}

__device__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

// One thread a peer.
__global__ void signal_kernel(int64_t *const *flags, int rank, int world, int64_t epoch) {
  int peer = threadIdx.x;
  if (peer >= world) return;
  __threadfence_system();
  store_release(flags[peer] + rank, epoch);
}

// missing[peer] becomes the epoch for which that peer was waited for in vain.  A wait after a failed one returns at once: the run
// is over, and the host must get to say so.
__global__ void wait_kernel(const int64_t *mine, int world, int64_t epoch, uint64_t limit_ns, int64_t *missing) {
  int peer = threadIdx.x;
  bool failed = peer < world && *(volatile int64_t *)(missing + peer) != 0;
  if (__syncthreads_or(failed) || peer >= world) return;
  uint64_t begin = nanoseconds();
  while (load_acquire(mine + peer) < epoch) {
    if (nanoseconds() - begin > limit_ns) {
      *(volatile int64_t *)(missing + peer) = epoch;
      __threadfence_system();
      return;
    }
    __nanosleep(64);
  }
}

// A function's type as text, made by the compiler from the declaration: the table cannot say something else than the code.
template <typename T> struct letter;
template <> struct letter<int> { static constexpr char value = 'i'; };
template <> struct letter<int64_t> { static constexpr char value = 'l'; };
template <> struct letter<uint64_t> { static constexpr char value = 'u'; };
template <typename T> struct letter<T *> { static constexpr char value = 'p'; };

template <typename R, typename... A> void describe(char *&at, const char *name, R (*)(A...)) {
  at = stpcpy(at, name);
  *at++ = ' ';
  *at++ = letter<R>::value;
  ((*at++ = letter<A>::value), ...);
  *at++ = '\n';
  *at = 0;
}

}  // namespace

extern "C" {

// Each returns a cudaError_t; 0 is success.  `flags` is a device array of the addresses of every rank's words; `mine` this rank's
// words; `missing` int64 [world] that host and device share, all 0 at the start.

int nmoe_signal(int64_t *const *flags, int rank, int world, int64_t epoch, cudaStream_t stream) {
  if (world < 1 || world > 1024 || rank < 0 || rank >= world) return cudaErrorInvalidValue;
  signal_kernel<<<1, (world + 31) / 32 * 32, 0, stream>>>(flags, rank, world, epoch);
  return cudaGetLastError();
}

int nmoe_wait(const int64_t *mine, int world, int64_t epoch, uint64_t limit_ns, int64_t *missing, cudaStream_t stream) {
  if (world < 1 || world > 1024) return cudaErrorInvalidValue;
  wait_kernel<<<1, (world + 31) / 32 * 32, 0, stream>>>(mine, world, epoch, limit_ns, missing);
  return cudaGetLastError();
}

// int64 [count] of zeros in host memory that the device writes through; readable on the host at any time.
int nmoe_shared(int64_t **host, int64_t **device, int count) {
  cudaError_t error = cudaHostAlloc((void **)host, count * sizeof(int64_t), cudaHostAllocMapped);
  if (error != cudaSuccess) return error;
  memset(*host, 0, count * sizeof(int64_t));
  return cudaHostGetDevicePointer((void **)device, *host, 0);
}

int nmoe_release(int64_t *host) { return cudaFreeHost(host); }

const char *nmoe_error(int code) { return cudaGetErrorString((cudaError_t)code); }

// One line a function: its name, then a letter for the result and for each argument.
const char *nmoe_abi() {
  static char table[512];
  char *at = table;
  describe(at, "nmoe_signal", nmoe_signal);
  describe(at, "nmoe_wait", nmoe_wait);
  describe(at, "nmoe_shared", nmoe_shared);
  describe(at, "nmoe_release", nmoe_release);
  describe(at, "nmoe_error", nmoe_error);
  return table;
}

}  // extern "C"
