// SPDX-License-Identifier: Apache-2.0
// Oniguruma's regular expressions (Ruby's, as the tokenizers library reads them) said in ICU's language. Both spell
// much alike and mean different things by it: '^' and '$' are lines' ends here, '\h' is a hexadecimal digit, 'm' lets
// '.' match newlines, '{n,m}+' repeats a repetition. What has no counterpart is refused by name.
#include <cctype>
#include <map>

#include "src/base/readable.h"
#include "src/text/pattern.h"
#include "src/text/unicode.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene::text {
namespace {

constexpr const char* kWord = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]";
constexpr const char* kNotWord = "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]";
constexpr const char* kAnyCharacter = "[\\x{0}-\\x{10FFFF}]";
constexpr const char* kHex = "[0-9A-Fa-f]";
constexpr const char* kNotHex = "[^0-9A-Fa-f]";

// POSIX's classes as Oniguruma has them for Unicode, by the names that [:name:] and \p{name} share.
const std::map<std::string, std::pair<std::string, std::string>>& posix_classes() {
  static const std::map<std::string, std::pair<std::string, std::string>> kClasses = [] {
    std::map<std::string, std::pair<std::string, std::string>> classes;
    for (const auto& [name, inside] : std::map<std::string, std::string>{
             {"alnum", "\\p{Alphabetic}\\p{Nd}"},
             {"alpha", "\\p{Alphabetic}"},
             {"ascii", "\\x{0}-\\x{7F}"},
             {"blank", "\\p{Zs}\\x{9}"},
             {"cntrl", "\\p{Cc}"},
             {"digit", "\\p{Nd}"},
             {"graph", "[\\x{0}-\\x{10FFFF}]&&[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]"},
             {"lower", "\\p{Lowercase}"},
             {"print", "[\\p{Zs}[[\\x{0}-\\x{10FFFF}]&&[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]]]"},
             {"punct", "\\p{P}\\x{24}\\x{2B}\\x{3C}-\\x{3E}\\x{5E}\\x{60}\\x{7C}\\x{7E}"},
             {"space", "\\p{White_Space}"},
             {"upper", "\\p{Uppercase}"},
             {"xdigit", "0-9A-Fa-f"},
             {"word", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"}})
      classes[name] = {"[" + inside + "]", "[^" + inside + "]"};
    return classes;
  }();
  return kClasses;
}

class Translator {
 public:
  Translator(std::string_view source, const std::string& where) : source_(source), where_(where) {}

  std::string run() {
    std::string all = alternatives(0);
    if (at_ < source_.size()) fail("a ')' that closes nothing");
    if (numbered_reference_ && named_group_) fail("a numbered reference beside named groups");
    return all;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw IoError(where_ + ": not a regular expression that can be read: " + what + " in '" + shortened(source_) + "'");
  }
  bool end() const { return at_ >= source_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool take(std::string_view text) {
    if (!source_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  static std::string literal(std::uint32_t code) {
    if (code < 0x80 && std::isalnum(static_cast<int>(code)) != 0) return std::string(1, static_cast<char>(code));
    char text[16];
    std::snprintf(text, sizeof text, "\\x{%X}", code);
    return text;
  }

  std::string alternatives(int depth) {
    if (depth > 60) fail("groups nested too deep");
    std::string all;
    const bool extended = extended_, dotall = dotall_;  // flags set in a group end with it
    while (!end() && peek() != ')') {
      if (take("|")) {
        all += '|';
      } else {
        all += quantified(depth);
      }
    }
    extended_ = extended;
    dotall_ = dotall;
    return all;
  }

  // {n}, {n,}, {,m}, {n,m}; anything else that begins with a brace is text.
  bool interval(std::string& bounds) {
    std::size_t at = at_ + 1;
    std::string low, high;
    bool comma = false;
    while (at < source_.size() && std::isdigit(static_cast<unsigned char>(source_[at])) != 0) low += source_[at++];
    if (at < source_.size() && source_[at] == ',') {
      comma = true;
      ++at;
      while (at < source_.size() && std::isdigit(static_cast<unsigned char>(source_[at])) != 0) high += source_[at++];
    }
    if (at >= source_.size() || source_[at] != '}' || (low.empty() && high.empty())) return false;
    if (low.size() > 5 || high.size() > 5) fail("a repetition of more than 99999");
    at_ = at + 1;
    exact_ = !comma;
    bounds = "{" + (low.empty() ? "0" : low) + (comma ? "," + high : "") + "}";
    return true;
  }

  std::string quantified(int depth) {
    std::string atom = this->atom(depth);
    for (bool first = true;; first = false) {
      if (extended_) skip_space();
      std::string quantifier;
      const char c = peek();
      if (end() || (c != '*' && c != '+' && c != '?' && c != '{')) return atom;
      if (c == '{') {
        if (!interval(quantifier)) return atom;
        if (exact_) {
          // "{n}?" is an optional "{n}" here, and "{n,m}+" a repeated "{n,m}": the loop comes back for both.
        } else if (take("?")) {
          quantifier += '?';
        }
      } else {
        quantifier = c;
        ++at_;
        if (peek() == '?' || peek() == '+') quantifier += source_[at_++];
      }
      if (atom.empty()) fail("a repetition of nothing");
      atom = (first ? atom : "(?:" + atom + ")") + quantifier;
    }
  }

  void skip_space() {
    while (!end()) {
      if (std::isspace(static_cast<unsigned char>(peek())) != 0) {
        ++at_;
      } else if (peek() == '#') {
        while (!end() && peek() != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  std::string atom(int depth) {
    if (extended_) {
      skip_space();
      if (end() || peek() == ')' || peek() == '|') return "";
    }
    switch (peek()) {
      case '(':
        return group(depth);
      case '[':
        ++at_;
        return character_class(depth);
      case '\\':
        ++at_;
        return escape();
      case '.':
        ++at_;
        return dotall_ ? kAnyCharacter : "[^\\x{A}]";
      case '^':
        ++at_;
        return "(?:\\A|(?<=\\x{A})(?!\\z))";
      case '$':
        ++at_;
        return "(?=\\x{A}|\\z)";
      case '*':
      case '+':
      case '?':
        fail("a repetition of nothing");
      default:
        return literal(next_code(source_, at_));
    }
  }

  std::string group(int depth) {
    ++at_;
    if (!take("?")) {
      if (peek() == '*') fail("a callout '(*...)'");
      return closed("(", depth);
    }
    if (take("#")) {
      while (!end() && peek() != ')') at_ += peek() == '\\' ? 2 : 1;
      if (!take(")")) fail("a comment without end");
      return end() || peek() == ')' || peek() == '|' ? "" : quantified(depth);
    }
    for (const char* kind : {":", "=", "!", ">", "<=", "<!"}) {
      if (take(kind)) return closed(std::string("(?") + kind, depth);
    }
    if (peek() == '<' || peek() == '\'') {
      const char close = source_[at_++] == '<' ? '>' : '\'';
      std::string name;
      while (!end() && peek() != close) name += source_[at_++];
      ++at_;
      for (char c : name) {
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) fail("a group named '" + name + "'");
      }
      named_group_ = true;
      return closed("(?<" + name + ">", depth);
    }
    return flags(depth);
  }

  std::string closed(const std::string& opening, int depth) {
    const std::string inside = alternatives(depth + 1);
    if (!take(")")) fail("a group without end");
    return opening + inside + ")";
  }

  // (?imx-imx) to the end of the group around it, or (?imx-imx:...).
  std::string flags(int depth) {
    bool on = true, extended = extended_, dotall = dotall_;
    std::string ignore;
    for (; !end() && peek() != ')' && peek() != ':'; ++at_) {
      switch (peek()) {
        case '-':
          on = false;
          break;
        case 'i':
          ignore = on ? "i" : "-i";
          break;
        case 'm':
          dotall = on;
          break;
        case 'x':
          extended = on;
          break;
        default:
          fail("the group '(?" + std::string(1, peek()) + "'");
      }
    }
    std::swap(extended, extended_);
    std::swap(dotall, dotall_);
    if (take(":")) {
      std::string inside = closed("(?" + ignore + ":", depth);
      extended_ = extended;
      dotall_ = dotall;
      return inside;
    }
    if (!take(")")) fail("a group without end");
    // To the end of this group, across its alternatives.
    std::string rest = alternatives(depth + 1);
    return "(?" + ignore + ":" + rest + ")";
  }

  std::uint32_t number(int base, std::size_t most) {
    std::string digits;
    while (!end() && digits.size() < most &&
           (base == 16 ? std::isxdigit(static_cast<unsigned char>(peek())) != 0 : peek() >= '0' && peek() <= '7'))
      digits += source_[at_++];
    if (digits.empty()) fail("a number of a character without digits");
    const unsigned long code = std::stoul(digits, nullptr, base);
    if (code > 0x10FFFF) fail("a character beyond U+10FFFF");
    return static_cast<std::uint32_t>(code);
  }

  // What a backslash and a letter say where they name one character; `code` is it.
  bool character_escape(std::uint32_t& code) {
    const char c = peek();
    switch (c) {
      case 't':
        code = '\t';
        break;
      case 'n':
        code = '\n';
        break;
      case 'r':
        code = '\r';
        break;
      case 'f':
        code = '\f';
        break;
      case 'v':
        code = '\v';
        break;
      case 'a':
        code = '\a';
        break;
      case 'e':
        code = 0x1B;
        break;
      case 'x':
        ++at_;
        if (take("{")) {
          code = number(16, 8);
          if (!take("}")) fail("'\\x{' without end");
        } else {
          code = number(16, 2);
          if (code > 0x7F) fail("a single byte of a character, '\\x'");
        }
        return true;
      case 'u':
        ++at_;
        code = number(16, 4);
        return true;
      case '0':
        code = number(8, 3);
        return true;
      case 'c':
      case 'C':
      case 'M':
        fail(std::string("'\\") + c + "'");
      default:
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 && c != 'p' && c != 'P') return false;
        code = next_code(source_, at_);
        return true;
    }
    ++at_;
    return true;
  }

  // \p{...}: a set, which stands alone and inside others.
  std::string property(bool negated) {
    std::string name;
    ++at_;
    if (!take("{")) return negated ? "P" : "p";
    if (take("^")) negated = !negated;
    while (!end() && peek() != '}') name += source_[at_++];
    if (!take("}")) fail("'\\p{' without end");
    std::string folded;
    for (char c : name) {
      if (c != ' ' && c != '_' && c != '-') folded += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != ' ' && c != '_' && c != '-')
        fail("the property '" + name + "'");
    }
    if (const auto found = posix_classes().find(folded); found != posix_classes().end())
      return negated ? found->second.second : found->second.first;
    if (folded == "any") return negated ? "[^\\x{0}-\\x{10FFFF}]" : kAnyCharacter;
    if (folded == "assigned") return negated ? "\\p{Cn}" : "\\P{Cn}";
    return (negated ? "\\P{" : "\\p{") + name + "}";
  }

  // A class that a backslash and a letter name, as a set; empty where it is none.
  std::string class_escape() {
    switch (peek()) {
      case 'w':
        ++at_;
        return kWord;
      case 'W':
        ++at_;
        return kNotWord;
      case 's':
        ++at_;
        return "\\p{White_Space}";
      case 'S':
        ++at_;
        return "\\P{White_Space}";
      case 'd':
        ++at_;
        return "\\p{Nd}";
      case 'D':
        ++at_;
        return "\\P{Nd}";
      case 'h':
        ++at_;
        return kHex;
      case 'H':
        ++at_;
        return kNotHex;
      case 'p':
      case 'P':
        if (peek(1) == '{') return property(peek() == 'P');
        return "";
      default:
        return "";
    }
  }

  std::string escape() {
    if (end()) fail("a backslash at the end");
    if (std::string set = class_escape(); !set.empty()) return set;
    const char c = peek();
    switch (c) {
      case 'A':
        ++at_;
        return "\\A";
      case 'z':
        ++at_;
        return "\\z";
      case 'Z':
        ++at_;
        return "(?=\\x{A}?\\z)";
      case 'b':
      case 'B': {
        ++at_;
        const std::string word(kWord);
        return c == 'b' ? "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))"
                        : "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))";
      }
      case 'N':
        ++at_;
        return "[^\\x{A}]";
      case 'O':
        ++at_;
        return kAnyCharacter;
      case 'R':
        ++at_;
        return "(?>\\x{D}\\x{A}|[\\x{A}-\\x{D}\\x{85}\\x{2028}\\x{2029}])";
      case 'X':
        ++at_;
        return "\\X";
      case 'k': {
        ++at_;
        if (!take("<")) fail("'\\k' without a name");
        std::string name;
        while (!end() && peek() != '>') name += source_[at_++];
        if (!take(">")) fail("'\\k<' without end");
        if (name.empty() || std::isalpha(static_cast<unsigned char>(name[0])) == 0)
          fail("the reference '\\k<" + name + ">'");
        return "\\k<" + name + ">";
      }
      default:
        break;
    }
    if (c >= '1' && c <= '9') {
      numbered_reference_ = true;
      ++at_;
      if (std::isdigit(static_cast<unsigned char>(peek())) != 0) fail("a reference of two digits");
      return std::string("\\") + c;
    }
    std::uint32_t code = 0;
    if (!character_escape(code)) {
      // An escaped letter that says nothing is the letter; those with a meaning that ICU lacks are refused.
      if (std::string_view("GKgyYQE").find(c) != std::string_view::npos) fail(std::string("'\\") + c + "'");
      code = next_code(source_, at_);
    }
    return literal(code);
  }

  // Behind its '['. Both sides of "&&" become sets of their own, so that which binds tighter makes no difference.
  std::string character_class(int depth) {
    if (depth > 60) fail("sets nested too deep");
    const bool negated = take("^");
    std::vector<std::string> sides{""};
    bool empty = true;
    std::uint32_t low = 0;
    const auto one = [&](std::uint32_t& code) {  // a character, or an escape that names one
      if (peek() != '\\') {
        code = next_code(source_, at_);
        return true;
      }
      ++at_;
      if (end()) fail("a backslash at the end");
      if (peek() == 'b') {
        ++at_;
        code = 8;
        return true;
      }
      if (const std::string set = class_escape(); !set.empty()) {
        sides.back() += set;
        return false;
      }
      if (character_escape(code)) return true;
      if (std::string_view("RXyYQE").find(peek()) != std::string_view::npos)
        fail(std::string("'\\") + peek() + "' in a set");
      code = next_code(source_, at_);
      return true;
    };
    while (true) {
      if (end()) fail("a '[' without end");
      if (peek() == ']' && !empty) break;
      empty = false;
      if (take("&&")) {
        sides.emplace_back();
        continue;
      }
      if (peek() == '[') {
        if (peek(1) == ':') {
          if (std::string set = posix(); !set.empty()) {
            sides.back() += set;
            continue;
          }
        }
        ++at_;
        sides.back() += character_class(depth + 1);
        continue;
      }
      if (!one(low)) continue;
      const char after = peek(1);
      if (peek() == '-' && after != ']' && after != '\0' && !(after == '&' && peek(2) == '&') && after != '[') {
        const std::size_t back = at_;
        ++at_;
        std::uint32_t high = 0;
        std::string before = sides.back();
        if (one(high)) {
          if (high < low) fail("a range that runs backwards");
          sides.back() += literal(low) + "-" + literal(high);
          continue;
        }
        sides.back() = before;  // "a-\w": the dash is itself
        at_ = back;
      }
      sides.back() += literal(low);
    }
    ++at_;
    if (sides.size() == 1) return (negated ? "[^" : "[") + sides[0] + "]";
    std::string all;
    for (const std::string& side : sides) {
      if (side.empty()) fail("a side of '&&' without characters");
      all += (all.empty() ? "[" : "&&[") + side + "]";
    }
    return (negated ? "[^" : "[") + all + "]";
  }

  // [:name:] or [:^name:] inside a set; empty where it is none.
  std::string posix() {
    const std::size_t close = source_.find(":]", at_ + 2);
    if (close == std::string_view::npos) return "";
    std::string name(source_.substr(at_ + 2, close - at_ - 2));
    const bool negated = name.starts_with('^');
    if (negated) name.erase(0, 1);
    const auto found = posix_classes().find(name);
    if (found == posix_classes().end()) {
      if (name.empty() || name.size() > 20) return "";
      fail("the class '[:" + name + ":]'");
    }
    at_ = close + 2;
    return negated ? found->second.second : found->second.first;
  }

  std::string_view source_;
  const std::string& where_;
  std::size_t at_ = 0;
  bool extended_ = false, dotall_ = false, exact_ = false;
  bool named_group_ = false, numbered_reference_ = false;
};

}  // namespace

std::string icu_expression(std::string_view oniguruma, const std::string& where) {
  return Translator(oniguruma, where).run();
}

}  // namespace vene::text
