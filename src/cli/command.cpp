// SPDX-License-Identifier: Apache-2.0
#include "src/cli/command.h"

#include <ATen/Context.h>
#include <poll.h>
#include <torch/cuda.h>
#include <torch/utils.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/cli/threads.h"
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

void check_model_folder(const std::string& folder) {
  std::error_code ignored;
  if (std::filesystem::is_directory(folder, ignored)) return;
  const bool of_the_hub = !folder.empty() && std::count(folder.begin(), folder.end(), '/') <= 1 &&
                          folder.front() != '/' && folder.back() != '/' && folder.front() != '.' &&
                          std::all_of(folder.begin(), folder.end(), [](unsigned char c) {
                            return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '/';
                          });
  throw IoError(folder + ": no such folder" +
                (of_the_hub ? "; a model of the Hugging Face hub comes into a folder with `hf download " + folder +
                                  " --local-dir " + folder + "`"
                            : ""));
}

void add_ignore_extra(CLI::App& command, bool& ignore_extra) {
  command.add_flag("--ignore-extra", ignore_extra,
                   "Pass over tensors that belong to nothing in the model, with a warning");
}

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
  add_ignore_extra(command, ignore_extra);
  command.add_flag("--tf32", tf32,
                   "On a CUDA device: float32 products in TF32, which is faster and keeps 3 digits instead of 7");
  command.add_option("--threads", threads, "CPU threads (default: one a core that this process may use)")
      ->envname("VENE_THREADS")
      ->check(CLI::Range(1, 1024))
      ->option_text("N (Env:VENE_THREADS)");
}

void ModelChoice::apply_threads() const {
  // OMP_NUM_THREADS is the user's word too.
  const char* of_openmp = std::getenv("OMP_NUM_THREADS");
  if (threads > 0) {
    torch::set_num_threads(threads);
  } else if (of_openmp == nullptr || *of_openmp == '\0') {
    torch::set_num_threads(useful_threads());
  }
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
  options.ignore_extra = ignore_extra;
  options.warn = [](const std::string& warning) { note("warning: " + warning); };
  check_model_folder(folder);
  const Timed loading(folder + ": loaded");
  models::LanguageModel lm = models::load(folder, options);
  Interruptible::check();
  loading.done();
  detail("architecture " + lm.model->architecture() + ", " + std::to_string(lm.model->layer_count()) + " layers, " +
         std::string(c10::getDtypeNames(lm.model->dtype()).first) + " on " + device + ", " +
         std::to_string(torch::get_num_threads()) + (torch::get_num_threads() == 1 ? " thread" : " threads"));
  return lm;
}

Progress::Progress(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1 && !loudness().quiet), started_(now()) {}

Progress::~Progress() {
  clear();
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

bool Progress::operator()(std::size_t done, std::size_t all, std::string_view note) {
  const bool goes_on = !Interruptible::asked();
  if (!terminal_ || all == 0 || !goes_on) return goes_on;
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

namespace {

// Of a terminal nobody knows when more comes, so that a signal has to end the wait.
std::string read_standard_input() {
  std::string text;
  for (;;) {
    Interruptible::check();
    pollfd state{STDIN_FILENO, POLLIN, 0};
    if (poll(&state, 1, -1) < 0 && errno == EINTR) continue;
    char piece[1 << 16];
    const ssize_t count = read(STDIN_FILENO, piece, sizeof piece);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw IoError(std::string("cannot read standard input: ") + std::strerror(errno));
    if (count == 0) return text;
    text.append(piece, static_cast<std::size_t>(count));
  }
}

}  // namespace

std::string read_input(const std::string& path) {
  return path == "-" ? read_standard_input() : io::read_file(path);
}

std::vector<std::int64_t> token_ids(const std::string& option, const std::string& text) {
  std::vector<std::int64_t> ids;
  const auto refuse = [&] { throw UsageError(option + ": expected token ids, such as 3,14,15, got '" + text + "'"); };
  std::string digits;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      digits += c;
    } else if (c != ',' && c != ' ') {
      refuse();
    } else if (!digits.empty()) {
      if (digits.size() > 18) refuse();
      ids.push_back(std::stoll(digits));
      digits.clear();
    }
  }
  if (ids.empty()) refuse();
  return ids;
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

}  // namespace vene::cli
