//! A GPU: its memory, its kernels, its matrix products. All that the compiler cannot check is in this file.
//!
//! Everything runs on one stream in the order in which it is asked for, so that no two kernels touch a buffer at once.
#![allow(unsafe_code, reason = "a GPU reads and writes memory at addresses that it is told")]

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cublasSetWorkspace_v2, cudaDataType,
};
use candle_core::cuda_backend::cudarc::cublas::{CudaBlas, result as cublas};
use candle_core::cuda_backend::cudarc::driver::sys::{
    CUgraphInstantiate_flags, CUstreamCaptureMode, cuMemcpyDtoHAsync_v2, cuMemcpyHtoDAsync_v2,
};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, LaunchConfig,
    PinnedHostSlice, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;

use super::super::Precision;
use crate::error::{Error, Result};

/// Machine code of `hop.cu` for several chips, and PTX for those to come.
static KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hop.fatbin"));

/// Workspace of cuBLAS; given to it once, since it must not allocate while a graph is captured.
const WORKSPACE: usize = 32 << 20;

/// An address on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceAddress(u64);

impl DeviceAddress {
    /// No address.
    pub(super) const NULL: Self = Self(0);

    /// `count` numbers of 4 bytes further on.
    pub(super) fn plus(self, count: usize) -> Self {
        Self(self.0 + 4 * count as u64)
    }
}

/// Numbers on the GPU.
#[derive(Debug)]
pub(super) struct Buffer {
    numbers: CudaSlice<f32>,
}

/// Memory of this machine that the GPU reads and writes itself.
#[derive(Debug)]
pub(super) struct Pinned {
    numbers: PinnedHostSlice<f32>,
    /// Where it is in this machine's memory: asking the slice for it waits, which must not happen while a graph is recorded.
    at: u64,
    len: usize,
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg {
    /// A pointer.
    Address(DeviceAddress),
    /// An `int`.
    Int(i32),
    /// A `size_t`.
    Size(usize),
    /// A `float`.
    Float(f32),
}

/// How a kernel is launched.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaunchShape {
    /// Blocks.
    pub(super) grid: (usize, usize, usize),
    /// Threads a block.
    pub(super) block: usize,
}

/// `ys = xs · weights` for each slot; rows of `xs` lie `ldx` numbers apart, everything else is dense.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) xs: DeviceAddress,
    pub(super) ldx: usize,
    pub(super) slot_x: usize,
    pub(super) weights: DeviceAddress,
    pub(super) ys: DeviceAddress,
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) cols: usize,
    pub(super) slots: usize,
}

/// The GPU.
pub(super) struct Gpu {
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    module: Arc<CudaModule>,
    functions: HashMap<String, CudaFunction>,
    compute: cublasComputeType_t,
    _workspace: CudaSlice<u8>,
}

/// Work that was recorded once and is launched as one.
pub(super) struct Graph(CudaGraph);

// SAFETY: a graph may be used from any thread, by one at a time. It is reached through `&mut GpuStepper` alone, and
// cudarc binds the context to the calling thread at each launch.
unsafe impl Send for Graph {}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.stream.context().ordinal())
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Graph")
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::internal(format!("the GPU failed to {what}: {error}"))
}

fn within(count: usize, pinned: &Pinned) -> Result<()> {
    let fits = count <= pinned.len;
    fits.then_some(()).ok_or_else(|| Error::internal("a copy beyond the end of pinned memory"))
}

impl Gpu {
    /// GPU number `ordinal`, with products in `precision`.
    pub(super) fn open(ordinal: usize, precision: Precision) -> Result<Self> {
        let compute = match precision {
            Precision::F32 => cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Precision::Bf16 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
            Precision::Int8 | Precision::W8a8 | Precision::Int7 | Precision::Auto => {
                return Err(Error::config(
                    format!("no {precision} on a GPU"),
                    "take f32, tf32 or bf16 there",
                ));
            }
        };
        let context = CudaContext::new(ordinal).map_err(|e| failed("open", e))?;
        // SAFETY: all buffers of this context are used on its one stream, so there is nothing to wait for; events would
        // be recorded into graphs.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(|e| failed("make a stream", e))?;
        let blas = CudaBlas::new(Arc::clone(&stream)).map_err(|e| failed("start cuBLAS", e))?;
        let workspace = stream.alloc_zeros::<u8>(WORKSPACE).map_err(|e| failed("hold a workspace", e))?;
        let (at, _guard) = workspace.device_ptr(&stream);
        // SAFETY: the workspace lives as long as the handle, and nothing else uses it.
        unsafe { cublasSetWorkspace_v2(*blas.handle(), at as *mut _, WORKSPACE) }
            .result()
            .map_err(|e| failed("take a workspace", e))?;
        drop(_guard);
        let module =
            context.load_module(Ptx::from_binary(KERNELS.to_vec())).map_err(|e| failed("load kernels", e))?;
        Ok(Self { stream, blas, module, functions: HashMap::new(), compute, _workspace: workspace })
    }

    /// Finds a kernel; to be called before it is launched.
    pub(super) fn load(&mut self, name: &str) -> Result<()> {
        if !self.functions.contains_key(name) {
            let function = self.module.load_function(name).map_err(|e| failed(&format!("find {name}"), e))?;
            self.functions.insert(name.to_owned(), function);
        }
        Ok(())
    }

    /// `count` zeros.
    pub(super) fn zeros(&self, count: usize) -> Result<Buffer> {
        let numbers = self.stream.alloc_zeros::<f32>(count.max(1));
        Ok(Buffer { numbers: numbers.map_err(|e| failed(&format!("hold {count} numbers"), e))? })
    }

    /// A copy of `numbers` on the GPU.
    pub(super) fn upload(&self, numbers: &[f32]) -> Result<Buffer> {
        let mut buffer = self.zeros(numbers.len())?;
        self.write(&mut buffer, 0, numbers)?;
        Ok(buffer)
    }

    /// Writes `numbers` from place `from` on.
    pub(super) fn write(&self, buffer: &mut Buffer, from: usize, numbers: &[f32]) -> Result<()> {
        let to = buffer.numbers.try_slice_mut(from..from + numbers.len());
        let mut to = to.ok_or_else(|| Error::internal("a write beyond the end of a buffer"))?;
        self.stream.memcpy_htod(numbers, &mut to).map_err(|e| failed("take numbers", e))?;
        self.wait()
    }

    /// Reads from place `from` on.
    pub(super) fn read(&self, buffer: &Buffer, from: usize, numbers: &mut [f32]) -> Result<()> {
        let at = buffer.numbers.try_slice(from..from + numbers.len());
        let at = at.ok_or_else(|| Error::internal("a read beyond the end of a buffer"))?;
        self.stream.memcpy_dtoh(&at, numbers).map_err(|e| failed("give numbers", e))?;
        self.wait()
    }

    /// Copies the first `count` numbers of `from` to the start of `to`.
    pub(super) fn copy(&self, from: &Buffer, to: &mut Buffer, count: usize) -> Result<()> {
        let (Some(from), Some(mut to)) = (from.numbers.try_slice(..count), to.numbers.try_slice_mut(..count))
        else {
            return Err(Error::internal("a copy beyond the end of a buffer"));
        };
        self.stream.memcpy_dtod(&from, &mut to).map_err(|e| failed("copy numbers", e))
    }

    /// `count` zeros of this machine's memory that copies from and to the GPU are fast with.
    pub(super) fn pinned(&self, count: usize) -> Result<Pinned> {
        // SAFETY: it is filled below, before anyone reads it.
        let numbers = unsafe { self.stream.context().alloc_pinned_with_flags::<f32>(count.max(1), 0) };
        let mut numbers = numbers.map_err(|e| failed("pin memory", e))?;
        numbers.as_mut_slice().map_err(|e| failed("pin memory", e))?.fill(0.0);
        let at = numbers.as_ptr().map_err(|e| failed("pin memory", e))?.addr() as u64;
        Ok(Pinned { len: numbers.len(), numbers, at })
    }

    /// Where a buffer is.
    pub(super) fn at(&self, buffer: &Buffer) -> DeviceAddress {
        DeviceAddress(buffer.numbers.device_ptr(&self.stream).0)
    }

    /// Starts a copy of the first `count` numbers to the GPU.
    pub(super) fn send(&self, from: &Pinned, to: DeviceAddress, count: usize) -> Result<()> {
        within(count, from)?;
        // SAFETY: `from` is that long, and so is the buffer at `to` by the sizes of `Scratch`; both outlive the graphs.
        unsafe { cuMemcpyHtoDAsync_v2(to.0, from.at as *const _, 4 * count, self.stream.cu_stream()) }
            .result()
            .map_err(|e| failed("take sound", e))
    }

    /// Starts a copy of `count` numbers from the GPU.
    pub(super) fn fetch(&self, from: DeviceAddress, to: &mut Pinned, count: usize) -> Result<()> {
        within(count, to)?;
        // SAFETY: as in `send`; `to` is read after the stream was waited for.
        unsafe { cuMemcpyDtoHAsync_v2(to.at as *mut _, from.0, 4 * count, self.stream.cu_stream()) }
            .result()
            .map_err(|e| failed("give scores", e))
    }

    /// Starts a kernel that was [`load`](Self::load)ed.
    pub(super) fn launch(&self, name: &str, shape: LaunchShape, args: &[Arg]) -> Result<()> {
        let function = self
            .functions
            .get(name)
            .ok_or_else(|| Error::internal(format!("kernel {name} is not loaded")))?;
        let mut launch = self.stream.launch_builder(function);
        for arg in args {
            match arg {
                Arg::Address(DeviceAddress(at)) => launch.arg(at),
                Arg::Int(int) => launch.arg(int),
                Arg::Size(size) => launch.arg(size),
                Arg::Float(float) => launch.arg(float),
            };
        }
        let (x, y, z) = shape.grid;
        let config = LaunchConfig {
            grid_dim: (x as u32, y as u32, z as u32),
            block_dim: (shape.block as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: `DeviceNetwork` gives each kernel the arguments of its declaration in hop.cu, with buffers of the lengths that
        // the kernel reads and writes.
        unsafe { launch.launch(config) }.map_err(|e| failed(&format!("start {name}"), e))?;
        Ok(())
    }

    /// Starts a product by cuBLAS.
    pub(super) fn multiply(&self, product: &Product) -> Result<()> {
        let Product { xs, ldx, slot_x, weights, ys, rows, depth, cols, slots } = *product;
        let (one, zero) = (1f32, 0f32);
        let number = cudaDataType::CUDA_R_32F;
        // cuBLAS counts columns first: it is told of the transposed product ysᵀ = weightsᵀ · xsᵀ
        // SAFETY: buffers hold what the shape of the product says, by the sizes of `Scratch` and `Weights`; the two scalars
        // are read before the call returns.
        unsafe {
            cublas::gemm_strided_batched_ex(
                *self.blas.handle(),
                cublasOperation_t::CUBLAS_OP_N,
                cublasOperation_t::CUBLAS_OP_N,
                cols as i32,
                rows as i32,
                depth as i32,
                (&raw const one).cast(),
                weights.0 as *const _,
                number,
                cols as i32,
                (depth * cols) as i64,
                xs.0 as *const _,
                number,
                ldx as i32,
                slot_x as i64,
                (&raw const zero).cast(),
                ys.0 as *mut _,
                number,
                cols as i32,
                (rows * cols) as i64,
                slots as i32,
                self.compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|e| failed("multiply", e))
    }

    /// Captures the launches of `work` as one graph, without running them.
    pub(super) fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(|e| failed("record a graph", e))?;
        let done = work();
        let graph = self
            .stream
            .end_capture(CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
        done?;
        let graph = graph.map_err(|e| failed("make a graph", e))?;
        let graph = graph.ok_or_else(|| Error::internal("the graph is empty"))?;
        graph.upload().map_err(|e| failed("take a graph", e))?;
        Ok(Graph(graph))
    }

    /// Runs a graph and waits for its end.
    pub(super) fn run(&self, graph: &Graph) -> Result<()> {
        graph.0.launch().map_err(|e| failed("start a graph", e))?;
        self.wait()
    }

    /// Waits until everything that was started has ended.
    pub(super) fn wait(&self) -> Result<()> {
        self.stream.synchronize().map_err(|e| failed("finish", e))
    }
}

impl Pinned {
    /// The numbers.
    pub(super) fn numbers(&self) -> Result<&[f32]> {
        self.numbers.as_slice().map_err(|e| failed("read pinned memory", e))
    }

    /// To be written.
    pub(super) fn numbers_mut(&mut self) -> Result<&mut [f32]> {
        self.numbers.as_mut_slice().map_err(|e| failed("write pinned memory", e))
    }
}
