// SPDX-License-Identifier: Apache-2.0
#include "src/text/post_processors.h"

#include <string_view>

#include "vene/base/error.h"

namespace vene::text {
namespace {

// The pieces of a template: ids to put in, or stretches that are there. A template behind another sees what that left:
// of two stretches it follows "pair".
class Template : public PostProcessor {
 public:
  struct Element {
    int stretch = -1;  ///< 0: "A", 1: "B", -1: ids
    std::vector<std::int64_t> ids{};
  };
  Template(std::vector<Element> single, std::vector<Element> pair)
      : single_(std::move(single)), pair_(std::move(pair)) {}
  void apply(Stretches& stretches, bool special) const override {
    if (stretches.size() > 2)
      throw Error("the tokenizer's TemplateProcessing comes behind one that leaves more than two stretches");
    Stretches all;
    for (const Element& element : stretches.size() == 2 ? pair_ : single_) {
      if (element.stretch >= 0) {
        all.push_back(stretches[static_cast<std::size_t>(element.stretch)]);
      } else if (special) {
        all.emplace_back();
        for (std::int64_t id : element.ids) all.back().push_back({id, {}, nullptr, true});
      }
    }
    if (all.empty()) all.emplace_back();
    stretches = std::move(all);
  }

 private:
  std::vector<Element> single_, pair_;
};

class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PostProcessor>> all) : all_(std::move(all)) {}
  void apply(Stretches& stretches, bool special) const override {
    for (const auto& one : all_) one->apply(stretches, special);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> all_;
};

// [CLS] in front of the first stretch, [SEP] behind each; RoBERTa's also in front of the others.
class Bert : public PostProcessor {
 public:
  Bert(std::int64_t cls, std::int64_t sep, bool both_sides) : cls_(cls), sep_(sep), both_sides_(both_sides) {}
  void apply(Stretches& stretches, bool special) const override {
    if (!special) return;
    for (std::size_t i = 0; i < stretches.size(); ++i) {
      auto& stretch = stretches[i];
      if (i == 0 || both_sides_) stretch.insert(stretch.begin(), {i == 0 ? cls_ : sep_, {}, nullptr, true});
      stretch.push_back({sep_, {}, nullptr, true});
    }
  }

 private:
  std::int64_t cls_, sep_;
  bool both_sides_;
};

class Nothing : public PostProcessor {
 public:
  void apply(Stretches&, bool) const override {}
};

std::int64_t checked_id(const Part& part, const detail::Json& id) {
  if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= (1U << 24))
    part.fail("expected the id of a token, got " + detail::json_text(id));
  return id.get<std::int64_t>();
}

std::vector<Template::Element> read_elements(const Part& part, const char* key) {
  std::vector<Template::Element> elements;
  for (const Part& piece : part.list(key)) {
    if (piece.has("Sequence")) {
      const std::string which = piece.at("Sequence").text("id");
      const bool second = which == "B";
      if ((!second && which != "A") || (second && std::string_view(key) == "single"))
        part.fail("TemplateProcessing: '" + std::string(key) + "' asks for a second text, \"" + which + "\"");
      elements.push_back({second ? 1 : 0, {}});
      continue;
    }
    if (!piece.has("SpecialToken"))
      part.fail("TemplateProcessing: expected a Sequence or a SpecialToken, got " + detail::json_text(piece.json()));
    const std::string name = piece.at("SpecialToken").text("id");
    const Part special = part.at("special_tokens");
    if (!special.has(name.c_str())) part.fail("the special token '" + name + "' of its template is not defined");
    Template::Element element;
    const Part ids = special.at(name.c_str()).at("ids");
    if (!ids.json().is_array()) part.fail("the special token '" + name + "' has no list of ids");
    for (const detail::Json& id : ids.json()) element.ids.push_back(checked_id(part, id));
    elements.push_back(std::move(element));
  }
  return elements;
}

// ["[SEP]", 102]
std::int64_t named_id(const Part& part, const char* key) {
  const detail::Json& pair = part.at(key).json();
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string())
    part.fail("'" + std::string(key) + "': expected a token and its id, got " + detail::json_text(pair));
  return checked_id(part, pair[1]);
}

}  // namespace

std::unique_ptr<PostProcessor> around(std::optional<std::int64_t> front, std::optional<std::int64_t> behind) {
  std::vector<Template::Element> elements;
  if (front) elements.push_back({-1, {*front}});
  elements.push_back({0, {}});
  if (behind) elements.push_back({-1, {*behind}});
  return std::make_unique<Template>(std::move(elements), std::vector<Template::Element>{});
}

std::unique_ptr<PostProcessor> read_post_processor(const Part& part, int depth) {
  const std::string type = part.type();
  if (type == "Sequence") {
    if (depth > 8) part.fail("sequences nested too deep");
    std::vector<std::unique_ptr<PostProcessor>> all;
    for (const Part& one : part.list("processors")) all.push_back(read_post_processor(one, depth + 1));
    return std::make_unique<Sequence>(std::move(all));
  }
  if (type == "TemplateProcessing") {
    std::vector<Template::Element> pair{{0, {}}, {1, {}}};
    if (part.has("pair")) pair = read_elements(part, "pair");
    return std::make_unique<Template>(read_elements(part, "single"), std::move(pair));
  }
  // Theirs is also to trim the spaces off the tokens' places; here a place is that of the token's whole text.
  if (type == "ByteLevel") return std::make_unique<Nothing>();
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return std::make_unique<Bert>(named_id(part, "cls"), named_id(part, "sep"), type == "RobertaProcessing");
  part.fail_type(type, {"Sequence", "TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing"});
}

}  // namespace vene::text
