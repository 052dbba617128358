// One precompiled header for the libraries, tests and tools: LibTorch's headers are most of what a source costs.
// It holds what most sources read and no more: loading it costs each of them 3 s, and with all of torch/torch.h 5.
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
