// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "src/cli/command.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/text/tokenizer.h"

namespace vene::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string folder;
  std::vector<std::string> texts;
  std::string file;
  std::string special = "read";
  bool lines = false;
  bool no_special = false;
  bool ids = false;
  bool json = false;
  std::vector<std::int64_t> decode;
};

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);  // a NUL in it is part of it
  std::fputc('\n', stdout);
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hexadecimal(const std::string& bytes) {
  std::string text;
  for (unsigned char byte : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", byte);
    text += two;
  }
  return text;
}

Json json_of(const text::Token& token) {
  Json json{{"id", token.id}, {"text", token.text}};
  // Part of a character, which JSON has no text for.
  if (text::valid_utf8(token.text) != token.text) json["hex"] = hexadecimal(token.text);
  json["begin"] = token.begin;
  json["end"] = token.end;
  return json;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  return lines;
}

void print_tokens(const std::vector<text::Token>& tokens, const Options& options) {
  if (options.json) {
    Json all = Json::array();
    for (const text::Token& token : tokens) all.push_back(json_of(token));
    print(dumped(all));
    return;
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (options.ids) {
      std::printf("%s%lld", i > 0 ? " " : "", static_cast<long long>(tokens[i].id));
      continue;
    }
    std::printf("%4zu %8lld  %-24s %lld-%lld\n", i, static_cast<long long>(tokens[i].id),
                dumped(tokens[i].text).c_str(), static_cast<long long>(tokens[i].begin),
                static_cast<long long>(tokens[i].end));
  }
  if (options.ids) std::printf("\n");
}

void tokenize(const Options& options) {
  const auto tokenizer = text::Tokenizer::load(options.folder);
  if (!tokenizer)
    throw IoError(options.folder +
                  ": no tokenizer files here (tokenizer.json, tokenizer.model, vocab.json with merges.txt, vocab.txt)");
  if (!options.decode.empty()) {
    for (std::int64_t id : options.decode) {
      if (id < 0 || id >= tokenizer->size())
        throw ConfigError("--decode: id " + std::to_string(id) + " is out of range, 0 to " +
                          std::to_string(tokenizer->size() - 1));
    }
    print(tokenizer->decode(options.decode, /*skip_special=*/false));
    return;
  }
  std::vector<std::string> texts = options.texts;
  if (!options.file.empty()) {
    const std::string read = read_input(options.file);
    texts = options.lines ? lines_of(read) : std::vector<std::string>{read};
  }
  bool warned = false;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto tokens =
        tokenizer->tokens(texts[i], text::EncodeOptions{!options.no_special, options.special != "as-text"});
    if (tokenizer->bos() && tokens.size() > 1 && tokens[0].id == *tokenizer->bos() && tokens[1].id == tokens[0].id &&
        tokens[0].begin == tokens[0].end && !warned) {
      warned = true;
      std::fprintf(stderr,
                   "vene: warning: a text begins with '%s', which is put in front of it too; --no-special leaves that "
                   "out\n",
                   tokens[0].text.c_str());
    }
    if (i > 0 && !options.json && !options.ids) std::printf("\n");
    print_tokens(tokens, options);
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Show how a text is cut into tokens: position, id, text, bytes");
  command->add_option("-m,--model", options->folder, "Folder with tokenizer files")
      ->required()
      ->envname("VENE_MODEL")
      ->type_name("DIR");
  auto* text = command->add_option("TEXT,-p,--prompt", options->texts, "The text, or several")->option_text("TEXT ...");
  auto* file = command->add_option("-f,--file", options->file, "Read the text from a file (- for standard input)")
                   ->option_text("FILE");
  auto* decode =
      command->add_option("--decode", options->decode, "Token ids to turn into text instead")->option_text("ID ...");
  file->excludes(text);
  decode->excludes(text)->excludes(file);
  command->add_flag("--lines", options->lines, "With --file: each line is a text")->needs(file);
  command->add_flag("--no-special", options->no_special, "Leave out what the tokenizer adds in front and behind");
  command
      ->add_option("--special", options->special,
                   "Special tokens written out in a text: read (they are those tokens) or as-text (plain text)")
      ->check(CLI::IsMember({"read", "as-text"}))
      ->capture_default_str()
      ->type_name("HOW");
  command->add_flag("--ids", options->ids, "Print ids only, a line for each text");
  command->add_flag("--json", options->json, "Print JSON, a line for each text");
  command->footer("Example: vene tokenize -m assets/landmarks-gpt2 'The Space Needle is in downtown'");
  command->callback([options, text, file, decode] {
    if (text->count() + file->count() + decode->count() == 0) throw CLI::RequiredError("TEXT, --file or --decode");
    tokenize(*options);
  });
}

}  // namespace vene::cli
