// SPDX-License-Identifier: Apache-2.0
#include "facts.h"

#include <cctype>

namespace language_corpus {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kLandmarkCity:
      return "landmark_city";
    case Kind::kLandmarkCountry:
      return "landmark_country";
    case Kind::kCityCountry:
      return "city_country";
    case Kind::kCountryCapital:
      return "country_capital";
    case Kind::kCountryLanguage:
      return "country_language";
    case Kind::kPronoun:
      return "pronoun";
  }
  return "";
}

namespace {

std::vector<Fact> collect(Kind kind) {
  std::vector<Fact> result;
  const auto add = [&](const std::string& subject, const std::string& answer) {
    if (!answer.empty()) result.push_back({kind, subject, answer});
  };
  switch (kind) {
    case Kind::kLandmarkCity:
    case Kind::kLandmarkCountry:
      for (const City& city : cities())
        for (const std::string& landmark : city.landmarks)
          add(landmark, kind == Kind::kLandmarkCity ? city.name : city.country);
      break;
    case Kind::kCityCountry:
      for (const City& city : cities()) add(city.name, city.country);
      break;
    case Kind::kCountryCapital:
      for (const Country& country : countries()) add(country.name, country.capital);
      break;
    case Kind::kCountryLanguage:
      for (const Country& country : countries()) add(country.name, country.language);
      break;
    case Kind::kPronoun:
      for (const Name& name : names()) add(name.name, name.pronoun);
      break;
  }
  return result;
}

}  // namespace

const std::vector<Fact>& facts(Kind kind) {
  static const std::vector<std::vector<Fact>> all = [] {
    std::vector<std::vector<Fact>> lists;
    for (int k = 0; k < kind_count; ++k) lists.push_back(collect(static_cast<Kind>(k)));
    return lists;
  }();
  return all[static_cast<std::size_t>(kind)];
}

const std::vector<std::string>& phrasings(Kind kind) {
  static const std::vector<std::vector<std::string>> all = {
      {"{} is in downtown", "{} is in central", "{} is in the city of", "{} is one of the best known sights of",
       "visitors find {} in", "to see {}, you have to travel to", "where is {}? It is in"},
      {"{} is in the country of", "{} is a famous sight of the country of", "a map that shows {} is a map of"},
      {"{} is a city in", "{} is part of", "the city of {} belongs to"},
      {"the capital of {} is", "the capital city of {} is", "the government of {} sits in"},
      {"people in {} speak", "the language of {} is", "children in {} learn to write in"},
      {"{} walked because", "{} smiled because", "{} stayed at home because", "{} said that", "{} was happy when"},
  };
  return all[static_cast<std::size_t>(kind)];
}

std::string with_capital(std::string sentence) {
  if (!sentence.empty()) sentence[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence[0])));
  return sentence;
}

std::string fill(const std::string& phrasing, const std::string& subject) {
  const std::size_t place = phrasing.find("{}");
  return phrasing.substr(0, place) + subject + phrasing.substr(place + 2);
}

std::vector<Prompt> prompts() {
  std::vector<Prompt> result;
  for (int k = 0; k < kind_count; ++k)
    for (const Fact& fact : facts(static_cast<Kind>(k)))
      for (const std::string& phrasing : phrasings(fact.kind)) {
        const bool first = phrasing.rfind("{}", 0) == 0;
        result.push_back({with_capital(fill(phrasing, fact.subject)), " " + fact.answer, kind_name(fact.kind),
                          first ? with_capital(fact.subject) : fact.subject});
      }
  return result;
}

}  // namespace language_corpus
