// SPDX-License-Identifier: Apache-2.0
#include "vene/models/load.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "models/common/check_weights.h"
#include "models/common/config_reader.h"
#include "models/common/file_weights.h"
#include "models/common/unsupported.h"
#include "models/registry.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/safetensors.h"
#include "vene/models/decoder.h"
#include "vene/models/nn.h"

namespace vene::models {
namespace {

namespace fs = std::filesystem;

std::optional<torch::ScalarType> dtype_by_name(std::string name, const std::string& where) {
  if (name.starts_with("torch.")) name = name.substr(6);
  if (name == "float32" || name == "float") return torch::kFloat32;
  if (name == "float16" || name == "half") return torch::kFloat16;
  if (name == "bfloat16") return torch::kBFloat16;
  if (name == "float64" || name == "double") return torch::kFloat64;
  if (name.empty() || name == "auto") return std::nullopt;
  throw ModelError(where + ": unknown dtype '" + name + "'" + name_hint(name, {"float32", "float16", "bfloat16"}));
}

// What config.json says the weights are; empty where it says nothing.
std::optional<torch::ScalarType> stated_dtype(const ConfigReader& config) {
  return dtype_by_name(config.text("dtype", config.text("torch_dtype", "")), config.where());
}

// How many values are NaN or infinite. A sum is finite only if every term is, and reads the weights as fast as memory
// gives them; values are counted only where it is not (a sum may also overflow), in pieces, since each count makes
// copies.
std::int64_t count_not_finite(const torch::Tensor& tensor) {
  constexpr std::int64_t kPiece = 1 << 18;
  if (std::isfinite(tensor.sum().item<double>())) return 0;
  const torch::Tensor flat = tensor.reshape(-1);
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin < flat.numel(); begin += kPiece) {
    const torch::Tensor piece = flat.slice(0, begin, begin + kPiece);
    count += piece.numel() - torch::isfinite(piece).sum().item<std::int64_t>();
  }
  return count;
}

// What every parameter is to be: all tensors' own type where they agree, and float32 where they do not.
torch::ScalarType common_type(const std::map<std::string, torch::Tensor>& weights) {
  for (const auto& [name, tensor] : weights) {
    if (tensor.scalar_type() != weights.begin()->second.scalar_type()) return torch::kFloat32;
  }
  return weights.empty() ? torch::kFloat32 : weights.begin()->second.scalar_type();
}

// Puts the weights in. A parameter takes the file's own memory, mapped copy on write, where type and device are right;
// else it is converted, one tensor after another, and the file's memory given back, so that weights are never held
// twice.
void fill(Model& model, FileWeights weights, const std::string& where, const LoadOptions& options,
          torch::ScalarType dtype) {
  const torch::NoGradGuard no_grad;
  std::vector<std::string> broken;
  for (auto& item : model.named_parameters()) {
    torch::Tensor value = std::move(weights.tensors.extract(item.key()).mapped());
    if (const std::int64_t count = count_not_finite(value); count > 0)
      broken.push_back(weights.in_file(item.key()) + " (" + std::to_string(count) + ")");
    torch::Tensor placed;
    if (options.device.is_cuda()) {
      // From pinned memory the copy goes on while the next weights are read from disk.
      placed = value.to(dtype).contiguous().pin_memory().to(options.device, /*non_blocking=*/true);
    } else {
      placed = value.to(options.device, dtype).contiguous();
    }
    if (options.trainable && placed.is_alias_of(value)) placed = placed.clone();
    item.value().set_data(placed);
  }
  if (!broken.empty())
    options.warn(
        where + ": " +
        tensors_problem(broken, "holds values that are NaN or infinite", "hold values that are NaN or infinite"));
  for (torch::Tensor& parameter : model.parameters()) parameter.set_requires_grad(options.trainable);
}

bool same_values(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  const torch::Tensor other = b.to(a.scalar_type());
  return torch::equal(a, other) || torch::allclose(a, other, 0, 0, /*equal_nan=*/true);
}

// Where a tied model's table lies among its parameters; empty where it has none.
std::string table_name(const Model& model) {
  const torch::Tensor table = model.token_embedding();
  for (const auto& item : model.named_parameters()) {
    if (table.defined() && item.value().is_same(table)) return item.key();
  }
  return "";
}

// A tied head is the embedding table: its copy in the file, if any, says nothing new, a head of its own would be lost,
// and the one of the two that the file kept stands for both. `compare` whether the values are looked at.
void merge_tied_head(const Model& model, const Family& family, FileWeights& weights, const std::string& where,
                     bool compare) {
  const std::string name = family.head + ".weight";
  const auto head = weights.tensors.find(name);
  if (head == weights.tensors.end() || model.named_parameters().contains(name) ||
      !model.named_modules().contains(family.head))
    return;
  const std::string table = table_name(model);
  const auto embedding = weights.tensors.find(table);
  if (embedding == weights.tensors.end()) {
    weights.tensors[table] = head->second;
    weights.file_names[table] = weights.file_names.at(name);
  } else if (compare && !same_values(head->second, embedding->second)) {
    throw ModelError(where + ": '" + weights.in_file(name) + "' differs from '" + weights.in_file(table) +
                     "', and config.json ties the two; with \"tie_word_embeddings\": false the head is used");
  }
  weights.tensors.erase(name);
}

bool head_wanted(const ConfigReader& config, const Family& family,
                 const std::map<std::string, torch::Tensor>& weights) {
  const std::vector<std::string> architectures = config.texts("architectures");
  if (architectures.empty() || weights.contains(family.head + ".weight")) return true;
  return std::any_of(architectures.begin(), architectures.end(), [](const std::string& name) {
    const auto endings = {"LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForPreTraining"};
    return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
  });
}

std::string config_path(const std::string& folder) {
  if (!fs::is_directory(folder)) throw IoError(folder + ": no such folder");
  const std::string path = (fs::path(folder) / "config.json").string();
  if (!fs::exists(path)) throw IoError(folder + ": no config.json here; expected a Hugging Face checkpoint folder");
  return path;
}

// Every layer has tensors of its own, so more layers than the checkpoint has tensors are a mistake, which is told
// before they are all made.
void check_layer_count(const ConfigReader& config, std::size_t tensors) {
  for (const char* field : {"num_hidden_layers", "n_layer", "num_layers"}) {
    const std::string value = config.unread(field).value_or("");
    if (value.empty() || value.find_first_not_of("0123456789") != std::string::npos)
      continue;  // the port says what is wrong with it
    if (std::stod(value) > static_cast<double>(tensors)) {
      throw ModelError(config.where() + ": field '" + field + "' is " + value +
                       ", more than the checkpoint has tensors (" + std::to_string(tensors) + ")");
    }
  }
}

// The port of a config.json with its parameters unset, for weights of so many tensors. Errors name the file.
std::shared_ptr<Model> build(const Family& family, const ConfigReader& config, bool head, std::size_t tensors) {
  check_layer_count(config, tensors);
  const nn::UnsetParameters unset;
  const auto fail = [&](const std::string& what) {
    throw ModelError(what.starts_with(config.where()) ? what : config.where() + ": " + what);
  };
  std::shared_ptr<Model> model;
  try {
    model = family.build(config, head);
  } catch (const ModelError& error) {
    fail(error.what());
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    fail("a model of these sizes cannot be made: " + what.substr(0, what.find('\n')).substr(0, 200));
  }
  refuse_unsupported(config);
  return model;
}

// A model is used on token ids where its tokenizer cannot be read.
std::shared_ptr<const text::Tokenizer> tokenizer_of(const std::string& folder,
                                                    const std::function<void(const std::string&)>& warn) {
  try {
    return text::Tokenizer::load(folder);
  } catch (const IoError& error) {
    warn(std::string(error.what()) + "; this model takes token ids only");
    return nullptr;
  }
}

// A folder's model with its parameters unset, and the tensors that fit them, checked by name, shape and type.
struct Matched {
  const Family* family;
  std::shared_ptr<Model> model;
  FileWeights weights;
  std::optional<torch::ScalarType> stated;  // the type that config.json gives
  std::int64_t parameters = 0, bytes = 0;   // of all tensors, also those that say nothing new
  std::map<std::string, std::int64_t> by_type;
};

Matched match(const std::string& folder, const LoadOptions& options, bool read_values) {
  const ConfigReader config = ConfigReader::read(config_path(folder));
  Matched matched;
  matched.family = &family_of(config);
  const Family& family = *matched.family;
  matched.stated = stated_dtype(config);
  io::Leftovers leftovers;
  FileWeights& weights = matched.weights;
  weights = named_weights(io::read_tensors(folder, &leftovers), family, folder);
  weights.absent = std::move(leftovers.absent);
  if (!leftovers.not_tensors.empty())
    options.warn(folder + ": " +
                 tensors_problem(leftovers.not_tensors, "entry that is no tensor is passed over",
                                 "entries that are no tensors are passed over"));
  matched.model = build(family, config, head_wanted(config, family, weights.tensors), weights.tensors.size());
  matched.model->eval();
  if (auto* decoder = dynamic_cast<Decoder*>(matched.model.get())) decoder->on_warning(options.warn);
  if (family.take != nullptr) family.take(*matched.model, weights.tensors, folder);
  for (const auto& [name, tensor] : weights.tensors) {
    matched.parameters += tensor.numel();
    matched.bytes += static_cast<std::int64_t>(tensor.nbytes());
    matched.by_type[std::string(c10::getDtypeNames(tensor.scalar_type()).first)] += tensor.numel();
  }
  merge_tied_head(*matched.model, family, weights, folder, read_values);
  std::map<std::string, torch::Tensor> places;
  for (const auto& item : matched.model->named_parameters()) places[item.key()] = item.value();
  std::vector<std::string> extra;
  WeightNames names;
  names.in_file = [&](const std::string& name) { return weights.in_file(name); };
  if (options.ignore_extra) names.extra = &extra;
  names.extra_hint = " (`ignore_extra`, --ignore-extra, passes over such tensors)";
  check_weights(places, weights.tensors, folder, "this model", names);
  if (!extra.empty())
    options.warn(folder + ": " +
                 tensors_problem(extra, "that belongs to nothing in this model is passed over",
                                 "that belong to nothing in this model are passed over"));
  std::erase_if(weights.tensors, [&](const auto& entry) { return !places.contains(entry.first); });
  return matched;
}

LoadOptions with_warnings(LoadOptions options) {
  if (!options.warn)
    options.warn = [](const std::string& warning) { std::fprintf(stderr, "vene: warning: %s\n", warning.c_str()); };
  return options;
}

torch::ScalarType run_type(const Matched& matched, const LoadOptions& options) {
  return options.dtype ? *options.dtype : matched.stated.value_or(common_type(matched.weights.tensors));
}

}  // namespace

LanguageModel load(const std::string& folder, const LoadOptions& given) {
  const LoadOptions options = with_warnings(given);
  Matched matched = match(folder, options, /*read_values=*/true);
  LanguageModel lm;
  lm.model = matched.model;
  const torch::ScalarType type = run_type(matched, options);
  fill(*lm.model, std::move(matched.weights), folder, options, type);
  lm.tokenizer = tokenizer_of(folder, options.warn);
  if (lm.tokenizer && lm.model->vocabulary_size() > 0 && lm.tokenizer->size() > lm.model->vocabulary_size()) {
    options.warn(folder + ": the tokenizer has " + std::to_string(lm.tokenizer->size()) + " tokens, the model " +
                 std::to_string(lm.model->vocabulary_size()));
  }
  return lm;
}

CheckpointInfo inspect(const std::string& folder, const LoadOptions& given) {
  const LoadOptions options = with_warnings(given);
  const Matched matched = match(folder, options, /*read_values=*/false);
  CheckpointInfo info;
  info.folder = folder;
  info.architecture = matched.family->model_type;
  info.parameters = matched.parameters;
  info.bytes = matched.bytes;
  for (const auto& [type, count] : matched.by_type) info.dtypes.push_back(type);
  const torch::ScalarType type = run_type(matched, options);
  info.run_dtype = std::string(c10::getDtypeNames(type).first);
  for (const auto& [name, tensor] : matched.weights.tensors)
    info.run_bytes += tensor.numel() * static_cast<std::int64_t>(c10::elementSize(type));
  info.layers = matched.model->layer_count();
  info.width = matched.model->hidden_size();
  info.vocabulary = matched.model->vocabulary_size();
  info.context = matched.model->context_length();
  if (const auto tokenizer = tokenizer_of(folder, [](const std::string&) {})) {
    info.tokenizer = tokenizer->kind();
    info.tokens = tokenizer->size();
  }
  return info;
}

Batch LanguageModel::encode(const std::string& text) const {
  return encode(std::vector<std::string>{text});
}

Batch LanguageModel::encode(const std::vector<std::string>& texts) const {
  if (!tokenizer) throw ModelError("this model has no tokenizer; give token ids");
  if (texts.empty()) throw ModelError("encode: expected at least one text");
  std::vector<std::vector<std::int64_t>> rows;
  std::size_t longest = 0;
  bool ragged = false;
  for (const std::string& text : texts) {
    rows.push_back(tokenizer->encode(text));
    if (rows.back().empty()) throw ModelError("encode: text " + std::to_string(rows.size() - 1) + " has no tokens");
    ragged = ragged || rows.back().size() != rows.front().size();
    longest = std::max(longest, rows.back().size());
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  Batch batch;
  batch.input_ids =
      torch::full({count, static_cast<std::int64_t>(longest)}, tokenizer->pad().value_or(0), torch::kInt64);
  torch::Tensor mask = torch::zeros_like(batch.input_ids);
  for (std::int64_t row = 0; row < count; ++row) {
    const auto length = static_cast<std::int64_t>(rows[row].size());
    batch.input_ids[row].slice(0, 0, length).copy_(torch::tensor(rows[row], torch::kInt64));
    mask[row].slice(0, 0, length).fill_(1);
  }
  if (ragged) batch.attention_mask = mask;
  return batch.to(model ? model->device() : torch::Device(torch::kCPU));
}

std::vector<LanguageModel::TopToken> LanguageModel::top_tokens(const torch::Tensor& logits, std::int64_t k,
                                                               std::int64_t position) const {
  if (!logits.defined() || logits.dim() != 3 || logits.size(0) == 0) {
    throw ModelError("top_tokens: expected logits [batch, pos, vocabulary], got " +
                     (logits.defined() ? shape_text(logits.sizes()) : std::string("nothing")));
  }
  const std::int64_t counted = position < 0 ? position + logits.size(1) : position;
  if (counted < 0 || counted >= logits.size(1))
    throw ModelError("top_tokens: position " + std::to_string(position) + " is out of range: there are " +
                     std::to_string(logits.size(1)));
  const torch::Tensor probability = torch::softmax(logits[0][counted].to(torch::kCPU, torch::kFloat64), -1);
  const auto [values, ids] = probability.topk(std::clamp<std::int64_t>(k, 0, probability.size(0)));
  std::vector<TopToken> top;
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    const std::int64_t id = ids[i].item<std::int64_t>();
    top.push_back({id, tokenizer && id < tokenizer->size() ? tokenizer->token_text(id) : "#" + std::to_string(id),
                   values[i].item<double>()});
  }
  return top;
}

}  // namespace vene::models
