// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "helpers.h"
#include "vene/io/files.h"

namespace {

using namespace vene_test;
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

Json small() {
  return Json::parse(R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

// The message of loading a small tokenizer.json after a JSON patch.
std::string error_after(const std::string& patch) {
  TokenizerFolder folder;
  folder.write("tokenizer.json", small().patch(Json::parse("[" + patch + "]")).dump());
  return folder.error();
}

TEST(TokenizerFiles, TheSmallOneLoadsSoThatTheRefusalsMeanSomething) {
  TokenizerFolder folder;
  folder.write("tokenizer.json", small().dump());
  EXPECT_EQ(folder.load()->encode("abba"), (Ids{2, 1, 0}));
}

TEST(TokenizerFiles, AFolderWithoutAnyHasNoTokenizer) {
  EXPECT_EQ(TokenizerFolder().load(), nullptr);
  try {
    vene::text::Tokenizer::load("/absent/folder");
    ADD_FAILURE();
  } catch (const vene::IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/absent/folder: no such folder"));
  }
}

TEST(TokenizerFiles, HalfOfAPairNamesTheMissingHalf) {
  EXPECT_THAT(TokenizerFolder().write("vocab.json", "{}").error(),
              AllOf(HasSubstr("vocab.json"), HasSubstr("'merges.txt'"), HasSubstr("missing")));
  EXPECT_THAT(TokenizerFolder().write("merges.txt", "").error(), HasSubstr("'vocab.json'"));
  EXPECT_THAT(TokenizerFolder().write("encoder.json", "{}").error(), HasSubstr("'vocab.bpe'"));
}

TEST(TokenizerFiles, JsonThatIsCutIsRefusedInOneLine) {
  const std::string whole = vene::io::read_file(golden_folder("added") + "/tokenizer.json");
  for (std::size_t size = 0; size + 2 < whole.size(); size += 97) {
    EXPECT_THAT(TokenizerFolder().write("tokenizer.json", whole.substr(0, size)).error(),
                AllOf(HasSubstr("tokenizer.json"), HasSubstr("not JSON")));
  }
  EXPECT_THAT(TokenizerFolder().write("tokenizer.json", std::string(1'000'000, '[')).error(),
              HasSubstr("nested deeper"));
  EXPECT_THAT(TokenizerFolder().write("tokenizer.json", "[]").error(), HasSubstr("expected a JSON object"));
}

TEST(TokenizerFiles, EveryPartThatIsWrongIsNamed) {
  const auto replace = [](const std::string& path, const std::string& value) {
    return error_after(R"({"op":"add","path":")" + path + R"(","value":)" + value + "}");
  };
  EXPECT_THAT(error_after(R"({"op":"remove","path":"/model"})"), HasSubstr("'model' is missing"));
  EXPECT_THAT(error_after(R"({"op":"remove","path":"/model/vocab"})"), HasSubstr("'vocab' is missing"));
  EXPECT_THAT(replace("/model", "3"), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(replace("/model/type", "\"WordPieces\""),
              HasSubstr("model type 'WordPieces' is not supported; did you mean 'WordPiece'"));
  EXPECT_THAT(replace("/model/dropout", "0.1"), HasSubstr("a dropout of 0.1 would cut a text differently each time"));
  EXPECT_THAT(replace("/model/vocab", "[]"), HasSubstr("expected an object 'vocab'"));
  EXPECT_THAT(replace("/model/vocab/a", "\"x\""), HasSubstr("the id of 'a' is not an integer"));
  EXPECT_THAT(replace("/model/vocab/a", "-1"), HasSubstr("token 'a' has id -1"));
  EXPECT_THAT(replace("/model/vocab/a", "99999999999"), HasSubstr("token 'a' has id 99999999999"));
  EXPECT_THAT(replace("/model/vocab/a", "18446744073709551615"), HasSubstr("token 'a' has id"));
  EXPECT_THAT(replace("/model/merges/-", "\"a c\""),
              AllOf(HasSubstr("merge 1 ('a' with 'c')"), HasSubstr("not in the vocabulary")));
  EXPECT_THAT(replace("/model/merges/-", "\"b a\""), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(replace("/model/merges/-", "\"ab\""), HasSubstr("'ab' is not two pieces"));
  EXPECT_THAT(replace("/model/merges/-", "\"\""), HasSubstr("'' is not two pieces"));
  EXPECT_THAT(replace("/model/merges/-", "[\"a\"]"), HasSubstr("model: merges: expected"));
  EXPECT_THAT(replace("/model/merges/-", "7"), HasSubstr("model: merges: expected"));
  EXPECT_THAT(replace("/version", "\"2.0\""), HasSubstr("version '2.0' is not known"));
  EXPECT_THAT(replace("/normalizer", R"({"type":"Lowercases"})"),
              HasSubstr("normalizer type 'Lowercases' is not supported; did you mean 'Lowercase'"));
  EXPECT_THAT(replace("/normalizer", "3"), HasSubstr("normalizer"));
  EXPECT_THAT(replace("/normalizer", R"({"type":"Precompiled","precompiled_charsmap":"AA"})"),
              HasSubstr("no table of replacements"));
  EXPECT_THAT(replace("/normalizer", R"({"type":"Precompiled","precompiled_charsmap":"CAAAAA=="})"),
              HasSubstr("its trie is to have 8 bytes, there are 0"));
  EXPECT_THAT(replace("/normalizer", R"({"type":"Replace","pattern":"a","content":"b"})"),
              HasSubstr("expected a 'pattern' of"));
  EXPECT_THAT(replace("/decoder", R"({"type":"ByteLevels"})"), HasSubstr("decoder type 'ByteLevels' is not supported"));
  EXPECT_THAT(replace("/decoder", R"({"type":"Strip","content":"ab","start":1,"stop":0})"),
              HasSubstr("expected one character"));
  EXPECT_THAT(replace("/post_processor", R"({"type":"BertProcessings"})"),
              HasSubstr("'BertProcessings' is not supported"));
  EXPECT_THAT(replace("/post_processor", R"({"type":"BertProcessing","cls":["a"],"sep":["b",1]})"),
              HasSubstr("'cls': expected a token and its id"));
  EXPECT_THAT(replace("/post_processor",
                      R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}],"special_tokens":{}})"),
              HasSubstr("'single' asks for a second text"));
  EXPECT_THAT(replace("/post_processor",
                      R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{}})"),
              HasSubstr("not defined"));
  EXPECT_THAT(replace("/post_processor", R"({"type":"TemplateProcessing","single":3})"), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(replace("/added_tokens", "3"), HasSubstr("added_tokens: expected a list"));
  EXPECT_THAT(replace("/added_tokens", R"([{"id":-1,"content":"x"}])"), HasSubstr("integer id"));
  EXPECT_THAT(replace("/added_tokens", R"([{"id":5}])"), HasSubstr("'content' is missing"));
  EXPECT_THAT(replace("/added_tokens", R"([{"id":5,"content":"x","special":1}])"),
              HasSubstr("'special': expected true or false"));
  EXPECT_THAT(replace("/pre_tokenizer/type", "\"Whitespaces\""),
              HasSubstr("'Whitespaces' is not supported; did you mean 'Whitespace'"));
  EXPECT_THAT(
      replace(
          "/pre_tokenizer",
          R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"},{"type":"ByteLevel"}]})"),
      HasSubstr("not a regular expression"));
  EXPECT_THAT(
      replace(
          "/pre_tokenizer",
          R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"a"},"behavior":"Merged"},{"type":"ByteLevel"}]})"),
      HasSubstr("behavior 'Merged' is not known"));
  EXPECT_THAT(replace("/pre_tokenizer", R"({"type":"Metaspace","replacement":"_","prepend_scheme":"last"})"),
              HasSubstr("prepend_scheme 'last' is not known"));
  EXPECT_THAT(replace("/pre_tokenizer",
                      R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})"),
              HasSubstr("add_prefix_space is false, and prepend_scheme is 'first'"));
  std::string deep = R"({"type":"Digits"})";
  for (int i = 0; i < 12; ++i) deep = R"({"type":"Sequence","pretokenizers":[)" + deep + "]}";
  EXPECT_THAT(replace("/pre_tokenizer", deep), HasSubstr("sequences nested too deep"));
}

TEST(TokenizerFiles, ExpressionsWithoutCounterpartAreRefusedByName) {
  const auto error = [](const std::string& expression) {
    return error_after(R"({"op":"add","path":"/pre_tokenizer","value":)" +
                       Json{{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}}.dump() +
                       "}");
  };
  EXPECT_THAT(error(R"(a\Kb)"), HasSubstr(R"('\K')"));
  EXPECT_THAT(error("(?~ab)"), HasSubstr("'(?~'"));
  EXPECT_THAT(error("(a)(?(1)b)"), HasSubstr("'(?('"));
  EXPECT_THAT(error(R"((?<n>a)\g<n>)"), HasSubstr(R"('\g')"));
  EXPECT_THAT(error("(*FAIL)"), HasSubstr("a callout"));
  EXPECT_THAT(error("[[:letters:]]"), HasSubstr("the class '[:letters:]'"));
  EXPECT_THAT(error(R"(\p{Nothing})"), HasSubstr("not a regular expression"));
  EXPECT_THAT(error(R"((?<n>a)(b)\1)"), HasSubstr("a numbered reference beside named groups"));
  EXPECT_THAT(error("*a"), HasSubstr("a repetition of nothing"));
  EXPECT_THAT(error("a)"), HasSubstr("closes nothing"));
  EXPECT_THAT(error("[a"), HasSubstr("a '[' without end"));
}

TEST(TokenizerFiles, AnExpressionThatTakesTooLongIsStopped) {
  TokenizerFolder folder;
  Json json = small();
  json["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}};
  folder.write("tokenizer.json", json.dump());
  const auto tokenizer = folder.load();
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{2}));
  try {
    tokenizer->encode(std::string(60, 'a') + "b");
    ADD_FAILURE() << "expected an Error";
  } catch (const vene::Error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("'(a+)+$' of the tokenizer takes too"), HasSubstr("on a text of 61 bytes")));
  }
}

TEST(TokenizerFiles, TextWithoutTokensIsAnErrorThatQuotesIt) {
  const auto error = [](const std::string& json, const std::string& text) -> std::string {
    TokenizerFolder folder;
    folder.write("tokenizer.json", json);
    try {
      folder.load()->encode(text);
    } catch (const vene::Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error(R"({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}})", "b"),
              HasSubstr("no token for 'b', and no unknown token"));
  EXPECT_THAT(error(R"({"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "?"}})", "b"),
              HasSubstr("no tokens for 'b', and no unknown token"));
  EXPECT_THAT(error(R"({"model": {"type": "Unigram", "vocab": [["a", -1]], "unk_id": null}})", "b"),
              HasSubstr("no token for 'b', and no unknown token"));
  EXPECT_THAT(error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "?"}})", "b"),
              HasSubstr("unk_token '?' is not in its vocabulary"));
}

TEST(TokenizerFiles, NestingWithoutEndAndPipesAreRefused) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"}) {
    EXPECT_THAT(TokenizerFolder().write("tokenizer.json", small().dump()).write(name, std::string(87'600, '[')).error(),
                AllOf(HasSubstr(name), HasSubstr("nested deeper")));
    EXPECT_THAT(TokenizerFolder().write("tokenizer.json", small().dump()).write(name, R"({"a":1,"a":2})").error(),
                AllOf(HasSubstr(name), HasSubstr("given twice")));
  }
  TestFolder pipe;
  ASSERT_EQ(::mkfifo((pipe / "tokenizer.json").c_str(), 0600), 0);
  try {
    vene::text::Tokenizer::load(pipe.path());
    ADD_FAILURE() << "expected an IoError";
  } catch (const vene::IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tokenizer.json: not a regular file"));
  }
}

TEST(TokenizerFiles, VocabulariesOfLinesThatAreOfNoKnownKindAreRefused) {
  EXPECT_THAT(TokenizerFolder().write("vocab.txt", "a\nb\n").error(),
              AllOf(HasSubstr("vocab.txt"), HasSubstr("is not BERT's"), HasSubstr("EsmTokenizer")));
  EXPECT_THAT(TokenizerFolder()
                  .write("vocab.txt", "a\nb\n")
                  .write("tokenizer_config.json", R"({"tokenizer_class": "EsmTokenizer"})")
                  .error(),
              HasSubstr("an EsmTokenizer's vocabulary without '<cls>'"));
}

TEST(TokenizerFiles, VocabularyAndMergesThatAreWrongAreNamedWithTheirLine) {
  const auto error = [](const std::string& vocabulary, const std::string& merges) {
    return TokenizerFolder().write("vocab.json", vocabulary).write("merges.txt", merges).error();
  };
  EXPECT_THAT(error("{", ""), AllOf(HasSubstr("vocab.json"), HasSubstr("not JSON")));
  EXPECT_THAT(error("[]", ""), HasSubstr("expected an object of pieces and ids"));
  EXPECT_THAT(error(R"({"a": "b"})", ""), HasSubstr("the id of 'a' is not an integer"));
  EXPECT_THAT(error(R"({"a": 0})", "#version: 0.2\na\n"),
              HasSubstr("merges.txt, line 2: expected two pieces, got 'a'"));
  EXPECT_THAT(error(R"({"a": 0})", "a b\n"), AllOf(HasSubstr("merges.txt"), HasSubstr("'a' with 'b'")));
}

TEST(TokenizerFiles, SettingsThatAreNotJsonAreRefused) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "config.json"}) {
    EXPECT_THAT(TokenizerFolder().write("tokenizer.json", small().dump()).write(name, "{\"a\"").error(),
                AllOf(HasSubstr(name), HasSubstr("not JSON")));
  }
}

TEST(TokenizerFiles, ABrokenSentencePieceModelIsRefused) {
  EXPECT_THAT(TokenizerFolder().write("tokenizer.model", "").error(),
              AllOf(HasSubstr("tokenizer.model"), HasSubstr("not a SentencePiece model")));
  EXPECT_THAT(TokenizerFolder().write("tokenizer.model", "garbage \x01\x02").error(),
              HasSubstr("not a SentencePiece model"));
}

TEST(TokenizerFiles, DamagedOnesLoadOrAreRefusedAndNeverMore) {
  const std::string whole = vene::io::read_file(golden_folder("added") + "/tokenizer.json");
  std::mt19937_64 random(9);
  int loaded = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole;
    for (std::uint64_t edits = 1 + random() % 3; edits > 0; --edits)
      bytes[random() % bytes.size()] = static_cast<char>(random() % 96 + 32);
    TokenizerFolder folder;
    folder.write("tokenizer.json", bytes);
    try {
      const auto tokenizer = folder.load();
      tokenizer->decode(
          tokenizer->encode("The n\xC3\xA9"
                            "e word <strip> 12"));
      ++loaded;
    } catch (const vene::IoError&) {
    }
  }
  EXPECT_GT(loaded, 5);
}

}  // namespace
