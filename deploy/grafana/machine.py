"""The dashboard of resources: processor, memory, GPU, and the health of workers."""

from __future__ import annotations

from .panels import HERE, Panel, rate

TITLE = "Machine"
DESCRIPTION = "CPU, memory and GPU of every instance, and the health of its workers."


def by_instance(expression: str) -> dict[str, str]:
    """A query with one line for each instance."""
    return {"{{instance}}": expression}


def by_device(metric: str) -> dict[str, str]:
    """A gauge with one line for each GPU."""
    return {"{{instance}} GPU {{device}}": f"{metric}{{{HERE}}}"}


ROWS = {
    "Process": [
        Panel(
            "CPU", "Cores in use.", "none", by_instance(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])")
        ),
        Panel(
            "Resident memory",
            "RAM of the process, model included.",
            "bytes",
            by_instance(f"process_resident_memory_bytes{{{HERE}}}"),
        ),
        Panel(
            "Memory used",
            "Resident memory / the limit of the container or machine.",
            "percentunit",
            by_instance(
                f"process_resident_memory_bytes{{{HERE}}} / on (job, instance) tta_memory_limit_bytes{{{HERE}}}"
            ),
            limits=(0.8, 0.9),
        ),
        Panel(
            "Open files",
            "File descriptors / the limit of the process.",
            "percentunit",
            by_instance(f"process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}}"),
            limits=(0.7, 0.9),
        ),
        Panel(
            "Garbage collections",
            "Runs of Python's garbage collector per second.",
            "ops",
            {"generation {{generation}}": rate("python_gc_collections_total", "generation")["{{generation}}"]},
        ),
        Panel(
            "Retained activations",
            "Text tower activations kept for backward passes.",
            "bytes",
            by_instance(f"tta_retained_activation_bytes{{{HERE}}}"),
            empty="none",
        ),
    ],
    "Health": [
        Panel(
            "Heartbeat",
            "Time since the last work of each worker (event loop, device).",
            "s",
            {"{{instance}} {{worker}}": f"time() - tta_worker_heartbeat_timestamp_seconds{{{HERE}}}"},
            limits=(30, 60),
        ),
        Panel(
            "Canary and forward failures",
            "Image tower passes that failed, and canaries that failed or timed out, per second.",
            "ops",
            {
                "forwards": f"sum(rate(tta_forward_failures_total{{{HERE}}}[$__rate_interval]))",
                "canaries": f"sum(rate(tta_canary_failures_total{{{HERE}}}[$__rate_interval]))",
            },
        ),
        Panel(
            "Uptime",
            "Time since the process started.",
            "s",
            by_instance(f"time() - process_start_time_seconds{{{HERE}}}"),
        ),
        Panel(
            "Build",
            "Version, model and device of each instance.",
            "none",
            {"{{instance}} {{version}} {{model}} {{device}}": f"tta_build_info{{{HERE}}}"},
            "stat",
            width=12,
            height=4,
        ),
        Panel(
            "Models loaded",
            "1 for each loaded model.",
            "none",
            {"{{instance}} {{model}}": f"tta_model_loaded{{{HERE}}}"},
            "stat",
            width=12,
            height=4,
        ),
    ],
    "GPU": [
        Panel(
            "Allocated",
            "GPU memory of live tensors, by device.",
            "bytes",
            by_device("tta_cuda_allocated_bytes"),
            empty="no CUDA device",
        ),
        Panel(
            "Reserved",
            "GPU memory that PyTorch has reserved from the driver, by device.",
            "bytes",
            by_device("tta_cuda_reserved_bytes"),
            empty="no CUDA device",
        ),
        Panel(
            "Out of memory",
            "Requests that failed for want of GPU memory per second, by strategy.",
            "ops",
            {"{{strategy}}": f"sum by (strategy) (rate(tta_cuda_oom_total{{{HERE}}}[$__rate_interval]))"},
            empty="no CUDA device",
        ),
        Panel(
            "Utilisation",
            "Share of time in which a kernel ran (NVML).",
            "percentunit",
            by_device("tta_gpu_utilization_ratio"),
            width=6,
            empty="no NVML",
        ),
        Panel(
            "Device memory used",
            "GPU memory used by all processes / total (NVML).",
            "percentunit",
            by_device(f"tta_gpu_memory_used_bytes{{{HERE}}} / tta_gpu_memory_total_bytes"),
            width=6,
            limits=(0.8, 0.95),
            empty="no NVML",
        ),
        Panel(
            "Power", "Power draw of the GPU (NVML).", "watt", by_device("tta_gpu_power_watts"), width=6, empty="no NVML"
        ),
        Panel(
            "Temperature",
            "Temperature of the GPU (NVML).",
            "celsius",
            by_device("tta_gpu_temperature_celsius"),
            width=6,
            limits=(80, 90),
            empty="no NVML",
        ),
    ],
}
