"""What the service takes from its machine."""

from __future__ import annotations

from .panels import HERE, Panel, rate

TITLE = "Machine"
SAID = "Processor, memory and GPU of every instance, and whether its workers are alive."


def each(expression: str) -> dict[str, str]:
    return {"{{instance}}": expression}


def device(metric: str) -> dict[str, str]:
    return {"{{instance}} GPU {{device}}": f"{metric}{{{HERE}}}"}


ROWS = {
    "Process": [
        Panel("CPU", "Cores in use.", "none", each(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])")),
        Panel(
            "Resident memory",
            "Bytes of RAM that the process holds, model included.",
            "bytes",
            each(f"process_resident_memory_bytes{{{HERE}}}"),
        ),
        Panel(
            "Memory against its limit",
            "Resident memory over the container's or the machine's.",
            "percentunit",
            each(f"process_resident_memory_bytes{{{HERE}}} / on (job, instance) tta_memory_limit_bytes{{{HERE}}}"),
            limits=(0.8, 0.9),
        ),
        Panel(
            "Open files",
            "File descriptors, over the process's limit.",
            "percentunit",
            each(f"process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}}"),
            limits=(0.7, 0.9),
        ),
        Panel(
            "Garbage collections",
            "Python's collector, runs a second.",
            "ops",
            {"generation {{generation}}": rate("python_gc_collections_total", "generation")["{{generation}}"]},
        ),
        Panel(
            "Retained activations",
            "Bytes that prompts keep of their text towers for backward passes.",
            "bytes",
            each(f"tta_retained_activation_bytes{{{HERE}}}"),
            empty="none",
        ),
    ],
    "Health": [
        Panel(
            "Heartbeat",
            "Seconds since each worker was last seen alive.",
            "s",
            {"{{instance}} {{worker}}": f"time() - tta_worker_heartbeat_timestamp_seconds{{{HERE}}}"},
            limits=(30, 60),
        ),
        Panel(
            "Canary and forward failures",
            "Forwards that raised and canaries that did not come back, a second.",
            "ops",
            {
                "forwards": f"sum(rate(tta_forward_failures_total{{{HERE}}}[$__rate_interval]))",
                "canaries": f"sum(rate(tta_canary_failures_total{{{HERE}}}[$__rate_interval]))",
            },
        ),
        Panel("Uptime", "Since the process began.", "s", each(f"time() - process_start_time_seconds{{{HERE}}}")),
        Panel(
            "What runs",
            "Version, model and device of each instance; torch in the label.",
            "none",
            {"{{instance}} {{version}} {{model}} {{device}}": f"tta_build_info{{{HERE}}}"},
            "stat",
            width=12,
            height=4,
        ),
        Panel(
            "Models loaded",
            "1 for each model in memory.",
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
            "Bytes of live tensors, by device.",
            "bytes",
            device("tta_cuda_allocated_bytes"),
            empty="no CUDA device",
        ),
        Panel(
            "Reserved",
            "Bytes that PyTorch holds from the driver, by device.",
            "bytes",
            device("tta_cuda_reserved_bytes"),
            empty="no CUDA device",
        ),
        Panel(
            "Out of memory",
            "CUDA allocations that failed, a second, by strategy.",
            "ops",
            {"{{strategy}}": f"sum by (strategy) (rate(tta_cuda_oom_total{{{HERE}}}[$__rate_interval]))"},
            empty="no CUDA device",
        ),
        Panel(
            "Utilisation",
            "Share of time with a kernel running (NVML).",
            "percentunit",
            device("tta_gpu_utilization_ratio"),
            width=6,
            empty="no NVML",
        ),
        Panel(
            "Memory of the board",
            "Used over total, every process counted (NVML).",
            "percentunit",
            device(f"tta_gpu_memory_used_bytes{{{HERE}}} / tta_gpu_memory_total_bytes"),
            width=6,
            limits=(0.8, 0.95),
            empty="no NVML",
        ),
        Panel("Power", "What the board draws (NVML).", "watt", device("tta_gpu_power_watts"), width=6, empty="no NVML"),
        Panel(
            "Temperature",
            "Of the board (NVML).",
            "celsius",
            device("tta_gpu_temperature_celsius"),
            width=6,
            limits=(80, 90),
            empty="no NVML",
        ),
    ],
}
