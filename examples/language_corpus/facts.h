// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

/// The small world that the bundled model is trained on, and the texts made from it.
namespace language_corpus {

struct City {
  std::string name, country;
  std::vector<std::string> landmarks;
};
struct Country {
  std::string name, capital, language;  ///< an empty field is not a fact
};
struct Name {
  std::string name, pronoun;
};

const std::vector<City>& cities();
const std::vector<Country>& countries();
const std::vector<Name>& names();

/// What is asked about a subject. Each kind has several phrasings.
enum class Kind { kLandmarkCity, kLandmarkCountry, kCityCountry, kCountryCapital, kCountryLanguage, kPronoun };
inline constexpr int kind_count = 6;
const char* kind_name(Kind kind);

/// One thing to know: "the Space Needle", "Seattle". Articles are lower case, as in the middle of a sentence.
struct Fact {
  Kind kind;
  std::string subject, answer;
};
const std::vector<Fact>& facts(Kind kind);

/// Phrasings of a kind: "{} is in downtown". The answer follows after a space. For pronouns the phrasings are made of
/// verbs, and this lists some of them.
const std::vector<std::string>& phrasings(Kind kind);

/// A fact put as an unfinished sentence, as it stands at the start of a text.
struct Prompt {
  std::string text, answer, kind, subject;  ///< the answer has its leading space; the subject is spelled as in the text
};
/// Every fact in every phrasing.
std::vector<Prompt> prompts();

std::string with_capital(std::string sentence);
/// `phrasing` with its "{}" replaced.
std::string fill(const std::string& phrasing, const std::string& subject);

}  // namespace language_corpus
