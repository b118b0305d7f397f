"""Harmless objects of *ignore* in other languages, and usual continuations. Data for `making`."""

# ruff: noqa: E501, RUF001 - each line is a listing, in the letters of its language

from typing import Final

HARMLESS: Final[dict[str, str]] = {
    "de": "meine letzte Nachricht|die Warnung im Protokoll|den Rechtschreibfehler|die dritte Spalte|die Mail von gestern|den ersten Entwurf|mein vorheriges Beispiel",
    "fr": "mon dernier message|l'avertissement du journal|la faute d'orthographe|la troisième colonne|le mail d'hier|le premier brouillon|mon exemple précédent",
    "es": "mi último mensaje|la advertencia del registro|la falta de ortografía|la tercera columna|el correo de ayer|el primer borrador|mi ejemplo anterior",
    "pt": "minha última mensagem|o aviso do registro|o erro de ortografia|a terceira coluna|o e-mail de ontem|o primeiro rascunho|meu exemplo anterior",
    "it": "il mio ultimo messaggio|l'avviso nel registro|l'errore di ortografia|la terza colonna|la mail di ieri|la prima bozza|il mio esempio precedente",
    "nl": "mijn laatste bericht|de waarschuwing in het logboek|de spelfout|de derde kolom|de mail van gisteren|mijn vorige voorbeeld",
    "sv": "mitt senaste meddelande|varningen i loggen|stavfelet|den tredje kolumnen|mejlet från i går|mitt förra exempel",
    "da": "min sidste besked|advarslen i loggen|stavefejlen|den tredje kolonne|mailen fra i går|mit forrige eksempel",
    "pl": "moją ostatnią wiadomość|ostrzeżenie w dzienniku|błąd ortograficzny|trzecią kolumnę|wczorajszy e-mail|mój poprzedni przykład",
    "cs": "mou poslední zprávu|varování v záznamu|pravopisnou chybu|třetí sloupec|včerejší e-mail|můj předchozí příklad",
    "ru": "моё последнее сообщение|предупреждение в журнале|орфографическую ошибку|третий столбец|вчерашнее письмо|мой предыдущий пример",
    "uk": "моє останнє повідомлення|попередження в журналі|помилку в слові|третій стовпець|вчорашній лист|мій попередній приклад",
    "ro": "ultimul meu mesaj|avertismentul din jurnal|greșeala de ortografie|a treia coloană|e-mailul de ieri|exemplul meu anterior",
    "tr": "son mesajımı|günlükteki uyarıyı|yazım hatasını|üçüncü sütunu|dünkü e-postayı|önceki örneğimi",
    "el": "το τελευταίο μου μήνυμα|την προειδοποίηση στο αρχείο|το ορθογραφικό λάθος|την τρίτη στήλη|το χθεσινό μέιλ|το προηγούμενο παράδειγμά μου",
    "ar": "رسالتي الأخيرة|التحذير في السجل|الخطأ الإملائي|العمود الثالث|بريد الأمس|مثالي السابق",
    "he": "ההודעה האחרונה שלי|האזהרה ביומן|שגיאת הכתיב|העמודה השלישית|המייל של אתמול|הדוגמה הקודמת שלי",
    "fa": "پیام آخر من|هشدار گزارش|غلط املایی|ستون سوم|ایمیل دیروز|مثال قبلی من",
    "hi": "मेरे पिछले संदेश|लॉग की चेतावनी|वर्तनी की गलती|तीसरे स्तंभ|कल के ईमेल|मेरे पहले उदाहरण",
    "bn": "আমার শেষ বার্তা|লগের সতর্কতা|বানান ভুল|তৃতীয় কলাম|গতকালের ইমেল|আমার আগের উদাহরণ",
    "zh": "我上一条消息|日志里的警告|错别字|第三列|昨天的邮件|我之前的例子",
    "ja": "前のメッセージを|ログの警告を|誤字を|三列目を|昨日のメールを|前の例を",
    "ko": "제 이전 메시지를|로그의 경고를|오타를|세 번째 열을|어제 메일을|앞의 예를",
    "vi": "tin nhắn trước của tôi|cảnh báo trong nhật ký|lỗi chính tả|cột thứ ba|thư hôm qua|ví dụ trước của tôi",
    "th": "ข้อความก่อนหน้าของฉัน|คำเตือนในบันทึก|คำผิด|คอลัมน์ที่สาม|อีเมลเมื่อวาน|ตัวอย่างก่อนหน้าของฉัน",
    "id": "pesan terakhir saya|peringatan di log|salah eja|kolom ketiga|email kemarin|contoh saya sebelumnya",
    "tl": "ang huli kong mensahe|ang babala sa log|ang maling baybay|ang ikatlong hanay|ang email kahapon",
    "fi": "viimeinen viestini|lokin varoitus|kirjoitusvirhe|kolmas sarake|eilinen sähköposti|aiempi esimerkkini",
    "hu": "az utolsó üzenetemet|a napló figyelmeztetését|a helyesírási hibát|a harmadik oszlopot|a tegnapi e-mailt|az előző példámat",
}
"""What anybody may ask to be ignored: it takes the place of `told`."""

AFTER: Final[dict[str, str]] = {
    "de": "es hat sich erledigt|das war falsch", "fr": "c'est réglé|c'était une erreur", "es": "ya está resuelto|fue un error",
    "pt": "já resolvi|foi um erro", "it": "ho risolto|era sbagliato", "nl": "het is opgelost", "sv": "det har löst sig",
    "pl": "już rozwiązane", "ru": "уже решено|это ошибка", "uk": "вже вирішено", "tr": "çözüldü|yanlıştı", "ar": "تم حلها",
    "he": "זה נפתר", "zh": "已经解决了", "ja": "解決しました", "ko": "해결했어요", "vi": "đã xong rồi", "id": "sudah selesai",
}  # fmt: skip
"""What is often said after that."""
