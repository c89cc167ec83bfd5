"""The sentences of answers in Chinese (simplified). They say what those of english.py do."""

from collections.abc import Sequence

from server.render.wording import number, percent, whole
from server.types import PLACES as NAMES_OF_PLACES
from server.types import Belief, Kind, Output, Place, Quality, Section, Stop, TrackRecord

PLACES = ("左上", "上方", "右上", "左侧", "中间", "右侧", "左下", "下方", "右下")
WHERE = dict(zip(NAMES_OF_PLACES, PLACES, strict=True))
KINDS: dict[Kind, str] = {
    "bar": "横", "stem": "竖", "slant": "斜线", "curve": "弧线", "loop": "圈", "dot": "点", "ink": "墨迹",
    "gap": "缺口",
}  # fmt: skip
SECTIONS: dict[Section, str] = {
    "upper": "的上段", "middle": "的中段", "lower": "的下段", "left": "的左边", "right": "的右边", "top": "的顶部",
    "bottom": "的底部",
}  # fmt: skip
NOTES = {  # warnings by their code, which stays as it is in `warnings`
    "multiple-objects": "图中有不止一个像数字那么大的东西，读的是其中一个",
    "files-disagree": "用来预测的文件和被解释的网络读出的数字不同，这里说的是网络怎么看所解释的数字",
}
MEASURES = {
    "deletion_auc": "删除",
    "insertion_auc": "插入",
    "mu_fidelity": "mu-fidelity",
    "max_sensitivity": "max-sensitivity",
}
NO_BELIEF = {
    "untried": "这些都没有在原因已知的网络上试过。",
    "flagged": "这些都不可信：试过的每一种，要么很少指出已知的原因，要么还不如墨迹本身。",
    "models": "试验只能说明对同一个网络该相信哪种方法，而这些是不同网络的。",
}


class Chinese:
    """See English."""

    places = PLACES
    strange = "警告：这看起来不像模型学过的数字。"
    rows = ("上面三分之一", "中间三分之一", "下面三分之一")
    uncertain = "以这样的采样数，最强几处的先后还不能确定。"
    exact = "精确：按方法自身的定义算出，没有采样，也没有近似步骤。"
    smaller = "可能还有更小的改动能做到同样的事。"

    def join(self, sentences: Sequence[str]) -> str:
        return "".join(sentences)

    def predicted(self, label: str, probability: float) -> str:
        return f"读作 {label}（{_percent(probability)}）。"

    def alternatives(self, labels: Sequence[str]) -> str:
        return f"也可能是 {' 或 '.join(labels)}。"

    def method(self, name: str, is_reference: bool) -> str:
        return f"{name}（参考实现）" if is_reference else name

    def target(self, pro: str, contra: str | None) -> str:
        return pro if contra is None else f"{pro} 而不是 {contra}"

    def score(self, pro: str, contra: str | None, output: Output) -> str:
        if contra is not None:
            return f"{pro} 对 {contra} 的领先"
        return f"{pro} 的得分" if output == "logit" else f"{pro} 的概率"

    def part(self, kind: Kind, place: Place | None, section: Section | None) -> str:
        of = "" if section is None else SECTIONS[section]
        return ("" if place is None else f"{WHERE[place]}的") + KINDS[kind] + of

    def removal(self, part: str, score: str, drop: float) -> str:
        if drop <= 0:
            return f"去除测试：单独去掉任何一部分，{score}都不会下降。"
        return f"去除测试：去掉{part}，{score}下降最多，为 {number(drop)}。"

    def closing(self, gap: str, drop: float) -> str:
        return f"若用一笔封上{gap}，则会下降 {number(drop)}。"

    def zero(self, target: str, method: str) -> str:
        return f"{self._why(target, method)}热图处处为零。"

    def evidence(
        self, target: str, method: str, pro: str, total: float, most: tuple[str, float] | None, paper: float
    ) -> str:
        why = self._why(target, method)
        if total <= 0:
            return f"{why}没有什么支持 {pro}。"
        return f"{why}全部证据的 {whole(total)} 支持 {pro}{self._where(most, paper)}。"

    def beside(self, part: str, share: float, differs: bool) -> str:
        if differs:
            return f"热图与去除测试不一致：热图在{part}只有 {whole(share)}。"
        return f"{part}占 {whole(share)}。"

    def counter(self, side: str, is_class: bool, total: float, most: tuple[str, float] | None, paper: float) -> str:
        towards = f"{'支持' if is_class else '反对'} {side}"
        if total < 0.005:
            return f"没有什么{towards}。" if total <= 0 else f"不到 1 % {towards}。"
        return f"{whole(total)} {towards}{self._where(most, paper)}。"

    def sensitivity(self, method: str, score: str, most: tuple[str, float] | None, paper: float) -> str:
        if most is None:
            return f"敏感度（按 {method}）：{score}只对空白处的改动有反应。"
        beside = f"，空白处占 {whole(paper)}" if paper else ""
        return f"敏感度（按 {method}）：{score}对{most[0]}的改动反应最大（占全部的 {whole(most[1])}）{beside}。"

    def _where(self, most: tuple[str, float] | None, paper: float) -> str:
        places = [] if most is None else [f"最多的 {whole(most[1])} 在{most[0]}"]
        places += [f"{whole(paper)} 在空白处"] if paper else []
        return "".join(f"，{place}" for place in places)

    def look(self, method: str, ranking: Sequence[tuple[str, float]]) -> str:
        if not ranking:
            return f"模型看了哪里（按 {method}）：几乎看遍整个数字。"
        where = "，其次在".join(f"{place}（{whole(share)}）" for place, share in ranking)
        return f"模型看了数字的哪里（按 {method}）：最多在{where}。这并不说明为什么看。"

    def approximate(self, gap: float | None, is_corrected: bool, order: float | None) -> str:
        sentence = "近似：已取完选项所要的全部样本"
        if gap is not None:
            sentence = f"近似：{'修正之前，' * is_corrected}各值之和与得分相差不到 {100 * gap:.2g} %"
        if order is not None:
            sentence += f"；最强三个值次序正确的概率为 {_percent(order)}"
        elif is_corrected:
            sentence += "；只取了一轮样本，说不出次序有多可靠"
        return f"{sentence}。"

    def partial(self, stop: Stop | None) -> str:
        return f"这是不完整的结果：方法没有算完，{'时间就到了' if stop == 'budget' else '选项就用尽了'}。"

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

    def trial(self, method: str, record: TrackRecord) -> str:
        found, total = record.named_cause
        loses = "，而且还不如墨迹本身" if record.misses_cause else "，但还不如墨迹本身"
        doubt = loses * record.loses_to_ink + "；请不要相信它" * record.flagged
        return f"在与此相似、原因已知的网络上，{method} 在 {total} 幅图中有 {found} 幅指出了原因{doubt}。"

    def belief(self, belief: Belief, method: str, record: TrackRecord | None) -> str:
        if record is None:
            return NO_BELIEF[belief.reason]
        found, total = record.named_cause
        yardstick = f"衡量值为 {number(record.yardstick)}（墨迹本身为 {number(record.ink)}）"
        return f"其中可信的是 {method}：它在 {total} 幅图中有 {found} 幅指出了已知的原因，{yardstick}。"

    def _why(self, target: str, method: str) -> str:
        return f"为什么是 {target}（按 {method}）："


def _percent(share: float) -> str:
    return percent(share).replace("over", "超过").replace("under", "不到")


def _listed(names: Sequence[str]) -> str:
    return "、".join(MEASURES.get(name, name) for name in names)
