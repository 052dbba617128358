// SPDX-License-Identifier: Apache-2.0
#include "src/text/tokenizer_json.h"

#include "src/text/normalizers.h"
#include "src/text/pre_tokenizers.h"
#include "vene/base/error.h"

namespace vene::text {
namespace {

// Classes whose tokenizers put a space in front where tokenizer_config.json says so, whatever tokenizer.json says.
bool takes_prefix_space(const std::string& name) {
  for (const char* known : {"GPT2Tokenizer", "RobertaTokenizer", "Qwen2Tokenizer", "BartTokenizer", "GPTNeoXTokenizer",
                            "CodeGenTokenizer", "LongformerTokenizer"}) {
    if (name == known) return true;
  }
  return false;
}

void read_added(const Part& part, PipelineParts& parts) {
  if (!part.has("added_tokens")) return;
  const detail::Json& all = part.at("added_tokens").json();
  if (!all.is_array()) part.fail("added_tokens: expected a list, got " + detail::json_text(all));
  for (const Part& entry : part.list("added_tokens")) {
    const Part one(entry.json(), part.where(), "added_tokens");
    AddedToken token;
    const detail::Json& id = one.at("id").json();
    token.content = one.text("content");
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > (1U << 24))
      one.fail("expected an integer id, got " + detail::json_text(id));
    token.special = one.flag("special", false);
    token.left_strip = one.flag("lstrip", false);
    token.right_strip = one.flag("rstrip", false);
    token.single_word = one.flag("single_word", false);
    token.normalized = one.flag("normalized", !token.special);
    parts.add(std::move(token));  // the id is the vocabulary's, else the next one, as in the library
  }
}

}  // namespace

PipelineParts read_tokenizer_json(const std::string& path, const Settings& settings) {
  const detail::Json json = read_json_file(path);
  if (!json.is_object()) throw IoError(path + ": expected a JSON object");
  const Part root(json, path, "");
  if (root.has("version") && root.text("version") != "1.0")
    root.fail("version '" + root.text("version") + "' is not known; expected 1.0");
  PipelineParts parts;
  bool byte_level = false;
  if (root.has("normalizer")) {
    parts.normalizer = read_normalizer(root.at("normalizer"));
    byte_level = has_type(root.at("normalizer"), "normalizers", "ByteLevel");
  }
  if (root.has("pre_tokenizer")) {
    const bool takes = takes_prefix_space(settings.tokenizer_class());
    parts.pre_tokenizer =
        read_pre_tokenizer(root.at("pre_tokenizer"), takes ? settings.flag("add_prefix_space") : std::nullopt);
    byte_level = byte_level || has_type(root.at("pre_tokenizer"), "pretokenizers", "ByteLevel");
  }
  parts.model = read_model(root.at("model"));
  if (root.has("post_processor")) parts.post_processor = read_post_processor(root.at("post_processor"));
  if (root.has("decoder"))
    parts.decoder = read_decoder(root.at("decoder"));
  else if (byte_level && !json.contains("decoder"))
    parts.decoder = byte_level_decoder();  // written by hand; the library writes null for none
  if (byte_level && parts.model->kind() == "BPE") parts.kind = "byte-level BPE";
  read_added(root, parts);
  settings.apply(parts);
  return parts;
}

}  // namespace vene::text
