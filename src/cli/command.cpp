// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"

#include <ATen/Context.h>
#include <torch/cuda.h>
#include <torch/utils.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"
#include "vene/io/files.h"

namespace vene::cli {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string duration(double seconds) {
  char text[32];
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else {
    std::snprintf(text, sizeof text, "%d:%02d min", static_cast<int>(seconds) / 60, static_cast<int>(seconds) % 60);
  }
  return text;
}

// What is wrong with the name of a device; empty where nothing is. Whether the device is there is another question.
std::string device_problem(const std::string& name) {
  if (name == "cpu" || name == "cuda" || (name == "hpu" && at::hasHPU())) return "";  // the latter in tests alone
  const std::string index = name.starts_with("cuda:") ? name.substr(5) : "";
  const bool number = !index.empty() && index.size() < 4 &&
                      std::all_of(index.begin(), index.end(), [](unsigned char c) { return std::isdigit(c); });
  return number ? "" : "expected cpu, cuda or cuda:N, got '" + name + "'";
}

torch::Device parse_device(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  if (name == "hpu") return {torch::kHPU, 0};
  const int wanted = name == "cuda" ? 0 : std::stoi(name.substr(5));
  const auto count = static_cast<int>(torch::cuda::device_count());
  if (wanted >= count) {
    const std::string why = !build_info().cuda_linked
                                ? "this build has no CUDA linked in (configure with -DVENE_CUDA=ON)"
                            : count == 0 ? "this machine has no CUDA device"
                                         : "this machine has " + std::to_string(count) + ", counted from 0";
    throw ModelError("--device " + name + ": " + why);
  }
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(wanted)};
}

const std::map<std::string, torch::ScalarType>& dtypes() {
  static const std::map<std::string, torch::ScalarType> kDtypes{
      {"float32", torch::kFloat32}, {"fp32", torch::kFloat32},    {"bfloat16", torch::kBFloat16},
      {"bf16", torch::kBFloat16},   {"float16", torch::kFloat16}, {"fp16", torch::kFloat16}};
  return kDtypes;
}

std::string dtype_problem(const std::string& name) {
  return dtypes().contains(name) ? ""
                                 : "unknown dtype '" + name + "'" + name_hint(name, {"float32", "bfloat16", "float16"});
}

}  // namespace

void ModelChoice::add_to(CLI::App& command, bool positional) {
  auto* option =
      command.add_option(positional ? "DIR,-m,--model" : "-m,--model", folder, "Hugging Face checkpoint folder");
  option->required()->envname("VENE_MODEL")->option_text("DIR REQUIRED (Env:VENE_MODEL)");
  command.add_option("--device", device, "cpu, cuda or cuda:N")
      ->envname("VENE_DEVICE")
      ->option_text("NAME=cpu (Env:VENE_DEVICE)")
      ->check(device_problem);
  command.add_option("--dtype", dtype, "float32, bfloat16 or float16 (default: the checkpoint's)")
      ->type_name("NAME")
      ->check(dtype_problem);
  command.add_flag("--tf32", tf32,
                   "On a CUDA device: float32 products in TF32, which is faster and keeps 3 digits instead of 7");
  command.add_option("--threads", threads, "CPU threads (default: all cores)")
      ->envname("VENE_THREADS")
      ->check(CLI::Range(1, 1024))
      ->option_text("N (Env:VENE_THREADS)");
}

void ModelChoice::apply_threads() const {
  if (threads > 0) torch::set_num_threads(threads);
}

models::LanguageModel ModelChoice::load() const {
  apply_threads();
  models::LoadOptions options;
  options.device = parse_device(device);
  if (tf32) {
    if (!options.device.is_cuda()) throw ModelError("--tf32 is for a CUDA device, and --device is " + device);
    at::globalContext().setAllowTF32CuBLAS(true);
    at::globalContext().setAllowTF32CuDNN(true);
  }
  if (!dtype.empty()) options.dtype = dtypes().at(dtype);
  options.warn = [](const std::string& warning) { std::fprintf(stderr, "vene: warning: %s\n", warning.c_str()); };
  return models::load(folder, options);
}

Progress::Progress(std::string what) : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1), started_(now()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

bool Progress::operator()(std::size_t done, std::size_t all, std::string_view note) {
  if (!terminal_ || all == 0) return true;
  const double time = now();
  if (time - shown_ < 0.1 && done < all) return true;
  shown_ = time;
  constexpr int kWidth = 24;
  const double share = static_cast<double>(done) / static_cast<double>(all);
  const int filled = static_cast<int>(share * kWidth);
  const double left = done > 0 ? (time - started_) / share * (1 - share) : 0;
  std::fprintf(stderr, "\r\x1b[K%s [%s%s] %zu/%zu, %s left%.*s", what_.c_str(), std::string(filled, '#').c_str(),
               std::string(kWidth - filled, '.').c_str(), done, all, duration(left).c_str(),
               static_cast<int>(note.size()), note.data());
  std::fflush(stderr);
  drawn_ = true;
  return true;
}

std::string read_input(const std::string& path) {
  return path == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : io::read_file(path);
}

std::string not_positive(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(number) && number > 0
             ? ""
             : "expected a number above 0, got '" + text + "'";
}

std::string not_a_count(const std::string& text) {
  const bool fits = !text.empty() && text.size() < 20 && text.find_first_not_of("0123456789") == std::string::npos;
  return fits ? "" : "expected an integer of at least 0, got '" + text + "'";
}

bool stdout_has_colour() {
  const char* terminal = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr &&
         (terminal == nullptr || std::string(terminal) != "dumb");
}

}  // namespace vene::cli
