"""The Open Inference Protocol's messages: tensors and parameters to requests, reports to tensors."""
