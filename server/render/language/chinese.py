"""The sentences of answers in Chinese (simplified). They say what those of english.py do."""

from collections.abc import Sequence

from server.render.wording import number, percent, whole
from server.types import Quality, Unit

PLACES = ("左上", "上方", "右上", "左侧", "中间", "右侧", "左下", "下方", "右下")
STRENGTHS: dict[Unit, str] = {
    "logit": "影响",
    "probability": "影响",
    "logit_per_ink": "敏感度",
    "probability_per_ink": "敏感度",
    "share": "注意力",
    "score": "重要性",
}
NOTES = {  # warnings by their code, which stays as it is in `warnings`
    "multiple-objects": "图中有不止一个像数字那么大的东西，读的是其中一个",
}
MEASURES = {
    "deletion_auc": "删除",
    "insertion_auc": "插入",
    "mu_fidelity": "mu-fidelity",
    "max_sensitivity": "max-sensitivity",
}


class Chinese:
    """See English."""

    places = PLACES
    strange = "警告：这看起来不像模型学过的数字。"
    partial = "这是不完整的结果：方法没有算完就被停下了。"
    smaller = "可能还有更小的改动能做到同样的事。"

    def join(self, sentences: Sequence[str]) -> str:
        return "".join(sentences)

    def predicted(self, label: str, probability: float) -> str:
        return f"读作 {label}（{_percent(probability)}）。"

    def method(self, name: str, is_reference: bool) -> str:
        return f"{name}（参考实现）" if is_reference else name

    def target(self, pro: str, contra: str | None) -> str:
        return pro if contra is None else f"{pro} 而不是 {contra}"

    def zero(self, target: str, method: str) -> str:
        return f"{self._why(target, method)}热图处处为零。"

    def evidence(self, target: str, method: str, pro: str, ranking: Sequence[tuple[int, float]]) -> str:
        if not ranking:
            return f"{self._why(target, method)}没有什么支持 {pro}。"
        where = "，".join(f"{whole(share)} 在{PLACES[place]}" for place, share in ranking)
        return f"{self._why(target, method)}支持 {pro} 的证据中，{where}。"

    def counter(self, side: str, is_class: bool, place: int, share: float, notable: float) -> str:
        towards = f"支持 {side}" if is_class else f"反对 {side}"
        if share < notable:
            return f"{towards} 的证据在任何一处都不到全部证据的 {whole(notable)}。"
        return f"{towards} 的最强证据在{PLACES[place]}，占全部证据的 {whole(share)}。"

    def strength(self, target: str, method: str, unit: Unit, ranking: Sequence[tuple[int, float]]) -> str:
        what = f"{self._why(target, method)}模型的{STRENGTHS[unit]}"
        if not ranking:
            return f"{what}几乎均匀地分布在整幅图上。"
        (place, share), *others = ranking
        then = "".join(f"，其次在{PLACES[place]}（{whole(share)}）" for place, share in others)
        return f"{what}在{PLACES[place]}最大（占 {whole(share)}）{then}。"

    def note(self, warning: str) -> str:
        code = warning.partition(":")[0]
        return f"注意：{NOTES.get(code, warning).rstrip('.。')}。"

    def changed(self, l2: float, linf: float, label: str, probability: float, method: str) -> str:
        length = f"L2 为 {number(l2)}（1 是一个像素的全部墨迹），最大为墨迹的 {number(linf)}"
        return f"由 {method} 改动（{length}）之后，这幅图读作 {label}（{_percent(probability)}）。"

    def moved(self, added: int | None, removed: int | None) -> str:
        pairs = (("加在", added), ("去自", removed))
        return "，".join(f"墨迹大多{verb}{PLACES[at]}" for verb, at in pairs if at is not None) + "。"

    def unchanged(self, method: str, tried: str, otherwise: str | None, options: Sequence[str]) -> tuple[str, str]:
        what = "别的数字" if otherwise is None else f" {otherwise} "
        return (
            f"{method}（{tried}）没有找到会读作{what}的图。",
            f"它仍可能存在：请加大 {' 或 '.join(options)}，或者换一种方法或种子。",
        )

    def difference(self, parts: Sequence[tuple[str, int, float]]) -> str:
        said = [f"版本 {which} 在{PLACES[at]}更强，占全部差别的 {whole(share)}" for which, at, share in parts]
        return f"差别：{'；'.join(said) or '没有'}。"

    def agreement(self, pairs: Sequence[tuple[str, str, float | None]]) -> str:
        texts = [f"{one} 与 {other} {'无定义' if rank is None else f'{rank:.2f}'}" for one, other, rank in pairs]
        return f"在墨迹上的一致程度（秩相关，1 表示次序相同）：{'，'.join(texts)}。"

    def verdict(self, quality: Quality) -> str:
        if not quality.measures:
            return "没有时间衡量这张热图有多忠实，请加大 budget_ms。"
        sentences = [] if quality.faithful else ["无法衡量这张热图：墨迹太少，没有可以去掉的。"]
        random, ink, unknown = quality.doubts
        pairs = (("不明显好于随机次序", random), ("不比墨迹本身好", ink))
        doubts = [f"按{_listed(names)}，它{outcome}" for outcome, names in pairs if names]
        told = [one.name for one in quality.faithful if one.name not in unknown]
        if doubts:
            sentences.append(f"{'；'.join(doubts)}。")
        elif told:
            sentences.append(f"按{_listed(told)}，它比随机次序和墨迹本身都好。")
        if unknown:
            sentences.append(f"按{_listed(unknown)}，不同的格子太少，看不出它是否好于随机次序。")
        if not quality.finished:
            sentences.append("没有时间做其余的衡量，请加大 budget_ms。")
        return self.join(sentences)

    def _why(self, target: str, method: str) -> str:
        return f"为什么是 {target}（按 {method}）："


def _percent(share: float) -> str:
    return percent(share).replace("over", "超过").replace("under", "不到")


def _listed(names: Sequence[str]) -> str:
    return "、".join(MEASURES.get(name, name) for name in names)
