// How oncectl's help texts look: one usage line that names the words, whatever the parser library's version makes of it.
#pragma once

#include <string>
#include <utility>

#include <CLI/CLI.hpp>

namespace onced::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  // `words`: what follows the options, as in "FUNCTION [ARGS]"; may be empty.
  explicit HelpFormatter(std::string words) : words_(std::move(words)) {
    column_width(28);
  }

  std::string make_usage(const CLI::App* app, std::string) const override {
    std::string name = app->get_name();
    if (app->get_parent() != nullptr) name = app->get_parent()->get_name() + " " + name;
    return "\nUsage: " + name + " [OPTIONS]" + (words_.empty() ? "" : " " + words_) + "\n";
  }

 private:
  std::string words_;
};

}  // namespace onced::cli
