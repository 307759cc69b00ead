"""Corpus BLEU by sacreBLEU (Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018)."""

import dataclasses
from collections.abc import Sequence

from sacrebleu.metrics import BLEU


@dataclasses.dataclass(frozen=True)
class Bleu:
    """BLEU in [0, 100] and the signature that makes it comparable; printed with both."""

    score: float
    signature: str

    def __str__(self) -> str:
        return f"BLEU {self.score:.2f} ({self.signature})"


def corpus_bleu(
    hypotheses: Sequence[str], references: Sequence[str], *, tokenize: str = "13a"
) -> Bleu:
    """BLEU of translations against one reference each.

    Args:
        hypotheses: translations as plain text.
        references: what they should be, in the same order.
        tokenize: sacreBLEU's tokenizer: "13a" for plain text, "none" for text that is tokenized.

    Raises:
        ValueError: if the two differ in number, are none, or the tokenizer is unknown.

    Example:
        >>> print(corpus_bleu(["A man in a red hat ."], ["A man in a red hat ."]))
        BLEU 100.00 (nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:...)
    """
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            "`hypotheses` and `references` must be as many, and one at least. Received: "
            f"{len(hypotheses)} and {len(references)}"
        )
    if tokenize not in BLEU.TOKENIZERS:
        raise ValueError(
            f"`tokenize` must be one of {', '.join(sorted(BLEU.TOKENIZERS))}. "
            f"Received: tokenize={tokenize!r}"
        )
    metric = BLEU(tokenize=tokenize)
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    # A sum of logarithms: a copied reference may come out some 1e-14 above 100.
    return Bleu(min(float(score), 100.0), str(metric.get_signature()))
