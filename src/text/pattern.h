// SPDX-License-Identifier: Apache-2.0
// What a tokenizer.json searches for: a text, or a regular expression in Oniguruma's language. Private to text.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/cut.h"
#include "src/text/part.h"

namespace vene::text {

/// The same expression in ICU's language. Throws IoError, with `where` in front, naming what cannot be said in it.
std::string icu_expression(std::string_view oniguruma, const std::string& where);

class Pattern {
 public:
  /// Throws IoError, with `where` in front, for what is no expression.
  static Pattern expression(const std::string& oniguruma, const std::string& where);
  static Pattern literal(const std::string& text);
  /// {"String": text} or {"Regex": expression}.
  static Pattern read(const Part& part);
  Pattern(Pattern&&) noexcept;
  ~Pattern();

  /// One search after another, on one thread.
  class Search {
   public:
    explicit Search(const Pattern& pattern);
    ~Search();
    /// Stretches that cover the text: those that match (some may be empty) and those between. Error where an expression
    /// takes too long.
    void operator()(std::string_view text, std::vector<Match>& matches);

   private:
    void expression(std::string_view text, std::vector<Match>& matches);
    const Pattern& pattern_;
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  Pattern();
  std::string literal_, source_;
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace vene::text
