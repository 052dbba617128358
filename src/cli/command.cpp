// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"

#include <torch/cuda.h>
#include <torch/utils.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::cli {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string duration(double seconds) {
  char text[32];
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else {
    std::snprintf(text, sizeof text, "%d:%02d min", static_cast<int>(seconds) / 60, static_cast<int>(seconds) % 60);
  }
  return text;
}

torch::Device parse_device(const std::string& name) {
  const bool cuda = name == "cuda" || name.starts_with("cuda:");
  const std::string index = name.starts_with("cuda:") ? name.substr(5) : "";
  const bool number = std::all_of(index.begin(), index.end(), [](unsigned char c) { return std::isdigit(c); }) && index.size() < 4 && name != "cuda:";
  if (name != "cpu" && !(cuda && number)) throw ConfigError("--device: expected cpu, cuda or cuda:<number>, got '" + name + "'" + name_hint(name, {"cpu", "cuda"}));
  if (!cuda) return torch::kCPU;
  const auto count = static_cast<int>(torch::cuda::device_count());
  const int wanted = index.empty() ? 0 : std::stoi(index);
  if (wanted >= count) {
    throw ConfigError("--device: " + name + " is not there; " + (count == 0 ? "this machine or this build has no CUDA device" : std::to_string(count) + " CUDA devices are"));
  }
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(wanted)};
}

std::optional<torch::ScalarType> parse_dtype(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name == "float32" || name == "fp32") return torch::kFloat32;
  if (name == "bfloat16" || name == "bf16") return torch::kBFloat16;
  if (name == "float16" || name == "fp16") return torch::kFloat16;
  throw ConfigError("--dtype: unknown dtype '" + name + "'" + name_hint(name, {"float32", "bfloat16", "float16"}));
}

}  // namespace

void ModelChoice::add_to(CLI::App& command, bool positional) {
  auto* option = positional ? command.add_option("DIR,-m,--model", folder, "Hugging Face checkpoint folder") : command.add_option("-m,--model", folder, "Hugging Face checkpoint folder");
  option->required()->envname("VENE_MODEL")->type_name("DIR");
  command.add_option("--device", device, "cpu, cuda or cuda:N")->envname("VENE_DEVICE")->capture_default_str()->type_name("NAME");
  command.add_option("--dtype", dtype, "float32, bfloat16 or float16 (default: the checkpoint's)")->type_name("NAME");
  command.add_option("--threads", threads, "CPU threads (default: all cores)")->envname("VENE_THREADS")->check(CLI::Range(1, 1024))->type_name("N");
}

void ModelChoice::apply_threads() const {
  if (threads > 0) torch::set_num_threads(threads);
}

models::LanguageModel ModelChoice::load() const {
  apply_threads();
  models::LoadOptions options;
  options.device = parse_device(device);
  options.dtype = parse_dtype(dtype);
  options.warn = [](const std::string& warning) { std::fprintf(stderr, "vene: warning: %s\n", warning.c_str()); };
  return models::load(folder, options);
}

Progress::Progress(std::string what) : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1), started_(now()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

bool Progress::operator()(std::size_t done, std::size_t all) {
  if (!terminal_ || all == 0) return true;
  const double time = now();
  if (time - shown_ < 0.1 && done < all) return true;
  shown_ = time;
  constexpr int kWidth = 24;
  const double share = static_cast<double>(done) / static_cast<double>(all);
  const int filled = static_cast<int>(share * kWidth);
  const double left = done > 0 ? (time - started_) / share * (1 - share) : 0;
  std::fprintf(stderr, "\r\x1b[K%s [%s%s] %zu/%zu, %s left", what_.c_str(), std::string(filled, '#').c_str(), std::string(kWidth - filled, '.').c_str(), done, all,
               duration(left).c_str());
  std::fflush(stderr);
  drawn_ = true;
  return true;
}

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr; }

}  // namespace vene::cli
